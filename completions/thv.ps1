# Completion of thv for PowerShell 5.1 and later. Made by `python -m completions.maker`; do not edit.
# To use it:  thv completion powershell | Out-String | Invoke-Expression  in the file that $PROFILE names

Register-ArgumentCompleter -Native -CommandName 'thv', 'thv.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commands = @{}
    $commands[''] = @{
        verbs = @(
            @('run', 'Run an MCP server behind the relay'),
            @('proxy', 'Front an MCP server that speaks HTTP'),
            @('doctor', 'Find out what is wrong with your MCP clients'' servers'),
            @('log', 'Show how calls ended'),
            @('top', 'Watch the running sessions'),
            @('report', 'Sum up the calls by server and tool'),
            @('why', 'Show how sessions ended'),
            @('mcp', 'Try an MCP server by hand, through the same relay as a client'),
            @('client', 'Put thv in front of your MCP clients'' servers'),
            @('auth', 'Log in to remote MCP servers, and out again'),
            @('config', 'Read and change the config file'),
            @('analytics', 'See whether usage analytics are on, and what is sent'),
            @('operator', 'Run MCP servers on Kubernetes: one MCPServer resource each'),
            @('version', 'Print the version, as --version does'),
            @('help', 'Explain a command, as --help does'),
            @('completion', 'Print the script that makes TAB complete')
        )
        flags = @(
            @('--version,-V', 'Print the version'),
            @('--debug', 'Log what thv does, and show tracebacks'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @()
        tail = ''
    }
    $commands['run'] = @{
        verbs = @()
        flags = @(
            @('+--env,-e=nothing', 'Set a variable in the server''s environment'),
            @('+--env-file=file', 'Read KEY=VALUE lines into the server''s environment'),
            @('--name=nothing', 'Call the server NAME; by default its registry or package name'),
            @('--cwd=directory', 'Start the server in DIR'),
            @('--network=nothing', 'Attach a docker:// server to NETWORK, or none'),
            @('+--volume=file', 'Mount HOST_PATH:PATH[:ro] into a docker:// server'),
            @('--transport=stdio/streamable-http/sse', 'The transport of the server itself: stdio, streamable-http or sse'),
            @('--target-port=nothing', 'Tell the server to listen on PORT; by default a free one'),
            @('--proxy-port=nothing', 'Serve clients over HTTP on PORT, not on stdio'),
            @('--host=nothing', 'Listen on ADDRESS; by default 127.0.0.1'),
            @('--shared', 'Let all sessions share one server; by default each has its own'),
            @('--max-sessions=nothing', 'Refuse more sessions than N; by default 256'),
            @('--session-ttl=nothing', 'End a session that is not used for SECONDS; by default 1800'),
            @('+--allowed-origins=nothing', 'Also accept requests from web pages of ORIGIN'),
            @('+--allowed-hosts=nothing', 'Also accept requests for HOST, the name by which a tunnel or proxy reaches thv'),
            @('--auth-token-file=file', 'Require the bearer token in FILE from clients; or set TOOLHIVE_PROXY_AUTH_TOKEN'),
            @('--no-auth', 'Require no token, even if other machines can reach --host'),
            @('+--header=nothing', 'Send a header with every request. Command lines are visible to others: put secrets in a file'),
            @('+--header-file=file', 'Read headers from FILE, one NAME: VALUE a line'),
            @('--bearer-token-file=file', 'Send the bearer token in FILE; or set TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN'),
            @('--ca-file=file', 'Also trust the certificate authorities in FILE'),
            @('--client-id=nothing', 'Log in as client ID, or with the URL of a client metadata document; by default thv registers itself'),
            @('--restart=?nothing', 'Start a server that dies again, under its client; give up after N restarts in a minute, 5 by default'),
            @('--call-timeout=nothing', 'Cancel a tool call after SECONDS without reply or progress; its client gets an error'),
            @('--no-journal', 'Keep no local journal of this session; see thv log --help'),
            @('--journal-capture', 'Keep arguments and results in it, too: redacted, cut, on this machine only'),
            @('--debug', 'Log what thv does to stderr, and show each usage analytics payload'),
            @('--otel-usage-analytics-enabled=?true/false', '=false: no anonymous usage analytics. It cannot turn them on'),
            @('--otel-endpoint=nothing', 'Your OTLP collector, as host:port or a URL; without one nothing is sent to you'),
            @('--otel-protocol=protocol', 'How to speak to it: http/protobuf or grpc; by the port when unset'),
            @('+--otel-headers=nothing', 'Headers sent to your collector, as KEY=VALUE,KEY=VALUE'),
            @('--otel-insecure=?true/false', 'No TLS for an endpoint that is written without a scheme'),
            @('--otel-tracing-enabled=?true/false', '=false: do not send traces to your collector'),
            @('--otel-metrics-enabled=?true/false', '=false: do not send metrics to your collector'),
            @('--otel-sampling-rate=nothing', 'The share of traces that is recorded, from 0.0 to 1.0'),
            @('--otel-service-name=nothing', 'The service your traces belong to; thv-<server> when unset'),
            @('+--otel-env-vars=nothing', 'Environment variables put on spans, as NAME,NAME'),
            @('+--otel-custom-attributes=nothing', 'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE'),
            @('--otel-use-legacy-attributes=?true/false', '=false: do not put our older attribute names beside those of the OpenTelemetry conventions'),
            @('--otel-enable-prometheus-metrics-path=?true/false', 'Serve your metrics at /metrics on 127.0.0.1:9464'),
            @('--otel-capture-arguments=?true/false', 'Put tool arguments and results on spans, redacted and cut'),
            @('--otel-propagate=?true/false', 'Pass our trace context to the server: changes params._meta'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('server')
        tail = 'command'
    }
    $commands['proxy'] = @{
        verbs = @()
        flags = @(
            @('--target-uri=nothing', 'Where the server is: its MCP endpoint'),
            @('--port=nothing', 'Listen on PORT; by default a free one'),
            @('--host=nothing', 'Listen on ADDRESS; by default 127.0.0.1'),
            @('+--allowed-origins=nothing', 'Also accept requests from web pages of ORIGIN'),
            @('+--allowed-hosts=nothing', 'Also accept requests for HOST, the name by which a tunnel or proxy reaches thv'),
            @('--no-journal', 'Keep no local journal of this session; see thv log --help'),
            @('--journal-capture', 'Keep arguments and results in it, too: redacted, cut, on this machine only'),
            @('--debug', 'Log what thv does to stderr, and show each usage analytics payload'),
            @('--otel-usage-analytics-enabled=?true/false', '=false: no anonymous usage analytics. It cannot turn them on'),
            @('--otel-endpoint=nothing', 'Your OTLP collector, as host:port or a URL; without one nothing is sent to you'),
            @('--otel-protocol=protocol', 'How to speak to it: http/protobuf or grpc; by the port when unset'),
            @('+--otel-headers=nothing', 'Headers sent to your collector, as KEY=VALUE,KEY=VALUE'),
            @('--otel-insecure=?true/false', 'No TLS for an endpoint that is written without a scheme'),
            @('--otel-tracing-enabled=?true/false', '=false: do not send traces to your collector'),
            @('--otel-metrics-enabled=?true/false', '=false: do not send metrics to your collector'),
            @('--otel-sampling-rate=nothing', 'The share of traces that is recorded, from 0.0 to 1.0'),
            @('--otel-service-name=nothing', 'The service your traces belong to; thv-<server> when unset'),
            @('+--otel-env-vars=nothing', 'Environment variables put on spans, as NAME,NAME'),
            @('+--otel-custom-attributes=nothing', 'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE'),
            @('--otel-use-legacy-attributes=?true/false', '=false: do not put our older attribute names beside those of the OpenTelemetry conventions'),
            @('--otel-enable-prometheus-metrics-path=?true/false', 'Serve your metrics at /metrics on 127.0.0.1:9464'),
            @('--otel-capture-arguments=?true/false', 'Put tool arguments and results on spans, redacted and cut'),
            @('--otel-propagate=?true/false', 'Pass our trace context to the server: changes params._meta'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('nothing')
        tail = ''
    }
    $commands['doctor'] = @{
        verbs = @()
        flags = @(
            @('--start', 'Start each server as its client would, and ask it'),
            @('--timeout=nothing', 'With --start: give up on a server after SECONDS; by default 60'),
            @('--project=directory', 'Where to look for the files of a project'),
            @('--format=text/json', 'How to print the answer'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('client', '...')
        tail = ''
    }
    $commands['log'] = @{
        verbs = @()
        flags = @(
            @('--follow,-f', 'Go on with calls as they end'),
            @('--failed', 'Only calls that failed'),
            @('--tool=nothing', 'Only calls of TOOL'),
            @('--since=nothing', 'Only since TIME: 30m, 1h, 7d, or a date'),
            @('-n=nothing', 'The last N; by default 50, or all of --since'),
            @('--all', 'Requests of every method, not only tool calls'),
            @('--format=text/json', 'How to print them'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('server')
        tail = ''
    }
    $commands['top'] = @{
        verbs = @()
        flags = @(
            @('--sort=server/uptime/calls/errors/in-flight/p95/rate', 'Sort by this column'),
            @('--format=text/json', 'text for people; json prints the sessions once'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @()
        tail = ''
    }
    $commands['report'] = @{
        verbs = @()
        flags = @(
            @('--since=nothing', 'Since TIME: 1h, 7d, or a date'),
            @('--html=file', 'Write one page with plots to FILE; - for stdout'),
            @('--format=text/json', 'How to print it; by default as text'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('server')
        tail = ''
    }
    $commands['why'] = @{
        verbs = @()
        flags = @(
            @('-n=nothing', 'The last N sessions'),
            @('--format=text/json', 'How to print them'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('server')
        tail = ''
    }
    $commands['mcp'] = @{
        verbs = @(
            @('list', 'List the tools of a server'),
            @('call', 'Call one tool of a server')
        )
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['mcp list'] = @{
        verbs = @()
        flags = @(
            @('--format=text/json', 'Print the answer as text or json; by default text'),
            @('--timeout=nothing', 'Wait at most SECONDS for each reply, a download aside; 0 for no limit; by default 60'),
            @('+--env,-e=nothing', 'Set a variable in the server''s environment'),
            @('+--env-file=file', 'Read KEY=VALUE lines into the server''s environment'),
            @('--name=nothing', 'Call the server NAME; by default its registry or package name'),
            @('--cwd=directory', 'Start the server in DIR'),
            @('--network=nothing', 'Attach a docker:// server to NETWORK, or none'),
            @('+--volume=file', 'Mount HOST_PATH:PATH[:ro] into a docker:// server'),
            @('+--header=nothing', 'Send a header with every request. Command lines are visible to others: put secrets in a file'),
            @('+--header-file=file', 'Read headers from FILE, one NAME: VALUE a line'),
            @('--bearer-token-file=file', 'Send the bearer token in FILE; or set TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN'),
            @('--ca-file=file', 'Also trust the certificate authorities in FILE'),
            @('--no-journal', 'Keep no local journal of this session; see thv log --help'),
            @('--debug', 'Log what thv does to stderr, and show each usage analytics payload'),
            @('--otel-usage-analytics-enabled=?true/false', '=false: no anonymous usage analytics. It cannot turn them on'),
            @('--otel-endpoint=nothing', 'Your OTLP collector, as host:port or a URL; without one nothing is sent to you'),
            @('--otel-protocol=protocol', 'How to speak to it: http/protobuf or grpc; by the port when unset'),
            @('+--otel-headers=nothing', 'Headers sent to your collector, as KEY=VALUE,KEY=VALUE'),
            @('--otel-insecure=?true/false', 'No TLS for an endpoint that is written without a scheme'),
            @('--otel-tracing-enabled=?true/false', '=false: do not send traces to your collector'),
            @('--otel-metrics-enabled=?true/false', '=false: do not send metrics to your collector'),
            @('--otel-sampling-rate=nothing', 'The share of traces that is recorded, from 0.0 to 1.0'),
            @('--otel-service-name=nothing', 'The service your traces belong to; thv-<server> when unset'),
            @('+--otel-env-vars=nothing', 'Environment variables put on spans, as NAME,NAME'),
            @('+--otel-custom-attributes=nothing', 'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE'),
            @('--otel-use-legacy-attributes=?true/false', '=false: do not put our older attribute names beside those of the OpenTelemetry conventions'),
            @('--otel-enable-prometheus-metrics-path=?true/false', 'Serve your metrics at /metrics on 127.0.0.1:9464'),
            @('--otel-capture-arguments=?true/false', 'Put tool arguments and results on spans, redacted and cut'),
            @('--otel-propagate=?true/false', 'Pass our trace context to the server: changes params._meta'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('server')
        tail = 'words'
    }
    $commands['mcp call'] = @{
        verbs = @()
        flags = @(
            @('--args-json=nothing', 'Give the tool''s arguments as one JSON object'),
            @('--format=text/json', 'Print the answer as text or json; by default text'),
            @('--timeout=nothing', 'Wait at most SECONDS for each reply, a download aside; 0 for no limit; by default 60'),
            @('+--env,-e=nothing', 'Set a variable in the server''s environment'),
            @('+--env-file=file', 'Read KEY=VALUE lines into the server''s environment'),
            @('--name=nothing', 'Call the server NAME; by default its registry or package name'),
            @('--cwd=directory', 'Start the server in DIR'),
            @('--network=nothing', 'Attach a docker:// server to NETWORK, or none'),
            @('+--volume=file', 'Mount HOST_PATH:PATH[:ro] into a docker:// server'),
            @('+--header=nothing', 'Send a header with every request. Command lines are visible to others: put secrets in a file'),
            @('+--header-file=file', 'Read headers from FILE, one NAME: VALUE a line'),
            @('--bearer-token-file=file', 'Send the bearer token in FILE; or set TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN'),
            @('--ca-file=file', 'Also trust the certificate authorities in FILE'),
            @('--no-journal', 'Keep no local journal of this session; see thv log --help'),
            @('--debug', 'Log what thv does to stderr, and show each usage analytics payload'),
            @('--otel-usage-analytics-enabled=?true/false', '=false: no anonymous usage analytics. It cannot turn them on'),
            @('--otel-endpoint=nothing', 'Your OTLP collector, as host:port or a URL; without one nothing is sent to you'),
            @('--otel-protocol=protocol', 'How to speak to it: http/protobuf or grpc; by the port when unset'),
            @('+--otel-headers=nothing', 'Headers sent to your collector, as KEY=VALUE,KEY=VALUE'),
            @('--otel-insecure=?true/false', 'No TLS for an endpoint that is written without a scheme'),
            @('--otel-tracing-enabled=?true/false', '=false: do not send traces to your collector'),
            @('--otel-metrics-enabled=?true/false', '=false: do not send metrics to your collector'),
            @('--otel-sampling-rate=nothing', 'The share of traces that is recorded, from 0.0 to 1.0'),
            @('--otel-service-name=nothing', 'The service your traces belong to; thv-<server> when unset'),
            @('+--otel-env-vars=nothing', 'Environment variables put on spans, as NAME,NAME'),
            @('+--otel-custom-attributes=nothing', 'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE'),
            @('--otel-use-legacy-attributes=?true/false', '=false: do not put our older attribute names beside those of the OpenTelemetry conventions'),
            @('--otel-enable-prometheus-metrics-path=?true/false', 'Serve your metrics at /metrics on 127.0.0.1:9464'),
            @('--otel-capture-arguments=?true/false', 'Put tool arguments and results on spans, redacted and cut'),
            @('--otel-propagate=?true/false', 'Pass our trace context to the server: changes params._meta'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('server', 'nothing', 'nothing', '...')
        tail = 'words'
    }
    $commands['client'] = @{
        verbs = @(
            @('list', 'List the clients that are found here, their files and their servers'),
            @('wrap', 'Put thv in front of servers: their client starts thv, which starts them'),
            @('unwrap', 'Take thv away again from the servers that were wrapped')
        )
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['client list'] = @{
        verbs = @()
        flags = @(
            @('--project=directory', 'Where to look for the files of a project'),
            @('--format=text/json', 'How to print the answer'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('client', '...')
        tail = ''
    }
    $commands['client wrap'] = @{
        verbs = @()
        flags = @(
            @('+--server=client-server', 'Only the server of this name; may be given again'),
            @('--project=directory', 'Where to look for the files of a project'),
            @('--dry-run', 'Show what would change, and change nothing'),
            @('--format=text/json', 'How to print the answer'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('client', '...')
        tail = ''
    }
    $commands['client unwrap'] = @{
        verbs = @()
        flags = @(
            @('+--server=client-server', 'Only the server of this name; may be given again'),
            @('--project=directory', 'Where to look for the files of a project'),
            @('--dry-run', 'Show what would change, and change nothing'),
            @('--format=text/json', 'How to print the answer'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('client', '...')
        tail = ''
    }
    $commands['auth'] = @{
        verbs = @(
            @('login', 'Log in to a remote server with your browser'),
            @('list', 'List the servers that you are logged in to'),
            @('logout', 'Forget a log-in, and tell the server''s issuer so where it takes that')
        )
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['auth login'] = @{
        verbs = @()
        flags = @(
            @('--client-id=nothing', 'Use ID, or the URL of a client metadata document; by default thv registers itself'),
            @('--client-secret-file=file', 'Read the secret that goes with --client-id'),
            @('--scope=nothing', 'Ask for SCOPES; by default for what the server says'),
            @('--callback-port=nothing', 'Let the browser come back to PORT; by default a free one'),
            @('--timeout=nothing', 'Wait at most SECONDS for the browser; by default 300'),
            @('--ca-file=file', 'Also trust the certificate authorities in FILE'),
            @('--no-browser', 'Show the address to open, and open no browser'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('nothing')
        tail = ''
    }
    $commands['auth list'] = @{
        verbs = @()
        flags = @(
            @('--format=text/json', 'How to print the answer'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @()
        tail = ''
    }
    $commands['auth logout'] = @{
        verbs = @()
        flags = @(
            @('--all', 'Log out of every server'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('nothing')
        tail = ''
    }
    $commands['config'] = @{
        verbs = @(
            @('path', 'Print where the config file is, whether or not it exists'),
            @('edit', 'Open the config file in your editor, and check it afterwards'),
            @('otel', 'Read and change its `otel` settings, usage analytics among them'),
            @('journal', 'Read and change its `journal` settings')
        )
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['config path'] = @{
        verbs = @()
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['config edit'] = @{
        verbs = @()
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['config otel'] = @{
        verbs = @(
            @('get', 'Print the value of a setting'),
            @('set', 'Write a setting into the config file'),
            @('unset', 'Remove a setting from the config file'),
            @('list', 'Print every setting')
        )
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['config otel get'] = @{
        verbs = @()
        flags = @(
            @('--reveal', 'Show secrets: header values, user and query of an endpoint'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('key')
        tail = ''
    }
    $commands['config otel set'] = @{
        verbs = @()
        flags = @(
            @('--add', 'Add to a list or a map, and leave its other entries as they are'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('key', 'value')
        tail = ''
    }
    $commands['config otel unset'] = @{
        verbs = @()
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @('key')
        tail = ''
    }
    $commands['config otel list'] = @{
        verbs = @()
        flags = @(
            @('--format=text/json', 'text for people, json for programs'),
            @('--reveal', 'Show secrets: header values, user and query of an endpoint'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @()
        tail = ''
    }
    $commands['config journal'] = @{
        verbs = @(
            @('get', 'Print the value of a setting'),
            @('set', 'Write a setting into the config file'),
            @('unset', 'Remove a setting from the config file'),
            @('list', 'Print every setting')
        )
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['config journal get'] = @{
        verbs = @()
        flags = @(
            @('--reveal', 'Show secrets: header values, user and query of an endpoint'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('journal-key')
        tail = ''
    }
    $commands['config journal set'] = @{
        verbs = @()
        flags = @(
            @('--add', 'Add to a list or a map, and leave its other entries as they are'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @('journal-key', 'value')
        tail = ''
    }
    $commands['config journal unset'] = @{
        verbs = @()
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @('journal-key')
        tail = ''
    }
    $commands['config journal list'] = @{
        verbs = @()
        flags = @(
            @('--format=text/json', 'text for people, json for programs'),
            @('--reveal', 'Show secrets: header values, user and query of an endpoint'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @()
        tail = ''
    }
    $commands['analytics'] = @{
        verbs = @(
            @('status', 'Print whether usage analytics are on, and what decided that'),
            @('show', 'Print a report byte by byte, and the history of those sent'),
            @('clear', 'Forget what this machine has sent')
        )
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['analytics status'] = @{
        verbs = @()
        flags = @(
            @('--format=text/json', 'How to print the answer'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @()
        tail = ''
    }
    $commands['analytics show'] = @{
        verbs = @()
        flags = @(
            @('--format=text/json', 'How to print the answer'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @()
        tail = ''
    }
    $commands['analytics clear'] = @{
        verbs = @()
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['operator'] = @{
        verbs = @(, @('run', 'Run the operator until it is stopped'))
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['operator run'] = @{
        verbs = @()
        flags = @(
            @('--all-namespaces', 'Look after the MCPServers of the whole cluster'),
            @('+--namespace=nothing', 'Look after those of one namespace; repeatable'),
            @('--thv-image=nothing', 'thv''s own image, for the pods it makes; else THV_OPERATOR_IMAGE'),
            @('--usage-analytics-enabled=true/false', 'false turns anonymous usage analytics off for every server'),
            @('+--allowed-origins=nothing', 'Let web pages of ORIGIN talk to the servers; repeatable'),
            @('--resync=nothing', 'How often everything is looked through'),
            @('--liveness=nothing', 'Serve a liveness probe, as http://0.0.0.0:8081/healthz'),
            @('--debug', 'Say more on stderr'),
            @('--help,-h', 'Show this message and exit')
        )
        places = @()
        tail = ''
    }
    $commands['version'] = @{
        verbs = @()
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @()
        tail = ''
    }
    $commands['help'] = @{
        verbs = @()
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @('verb', '...')
        tail = ''
    }
    $commands['completion'] = @{
        verbs = @()
        flags = @(, @('--help,-h', 'Show this message and exit'))
        places = @('shell')
        tail = ''
    }
    $kinds = @{}
    $kinds['server'] = @(
        @('demo', 'A small server inside thv: add, echo, now, wait, and a tool that fails on demand'),
        @('time', 'The time now, and conversion between time zones'),
        @('fetch', 'Fetches a web page and turns it into Markdown'),
        @('git', 'Reads, searches and changes Git repositories'),
        @('filesystem', 'Reads and writes files inside the directories given'),
        @('memory', 'A knowledge graph that lasts between sessions'),
        @('everything', 'Exercises every feature of the protocol: made for testing clients'),
        @('sequentialthinking', 'Breaks a problem into thoughts that can be revised'),
        @('uvx://', 'a PyPI package'),
        @('npx://', 'an npm package'),
        @('docker://', 'a container image'),
        @('https://', 'a remote server')
    )
    $kinds['key'] = @(
        @('usage-analytics-enabled', 'Anonymous usage analytics: how many tool calls went well'),
        @('endpoint', 'Your OTLP collector, as host:port or a URL; without one nothing is sent to you'),
        @('protocol', 'How to speak to it: http/protobuf or grpc; by the port when unset'),
        @('headers', 'Headers sent to your collector, as KEY=VALUE,KEY=VALUE'),
        @('insecure', 'No TLS for an endpoint that is written without a scheme'),
        @('tracing-enabled', 'Send traces to your collector'),
        @('metrics-enabled', 'Send metrics to your collector'),
        @('sampling-rate', 'The share of traces that is recorded, from 0.0 to 1.0'),
        @('service-name', 'The service your traces belong to; thv-<server> when unset'),
        @('env-vars', 'Environment variables put on spans, as NAME,NAME'),
        @('custom-attributes', 'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE'),
        @('use-legacy-attributes', 'Put our older attribute names beside those of the OpenTelemetry conventions'),
        @('enable-prometheus-metrics-path', 'Serve your metrics at /metrics on 127.0.0.1:9464')
    )
    $kinds['journal-key'] = @(
        @('enabled', 'Keep a local journal of how requests ended, as shown by thv log, top, report and why'),
        @('max-size', 'The most bytes the journal takes; the oldest go first'),
        @('max-age', 'How long anything stays in the journal')
    )
    $kinds['client'] = @(
        @('claude-desktop', 'Claude Desktop'),
        @('claude-code', 'Claude Code'),
        @('cursor', 'Cursor'),
        @('vscode', 'VS Code'),
        @('codex', 'Codex'),
        @('gemini-cli', 'Gemini CLI'),
        @('windsurf', 'Windsurf'),
        @('cline', 'Cline'),
        @('roo', 'Roo Code'),
        @('zed', 'Zed'),
        @('goose', 'Goose'),
        @('continue', 'Continue'),
        @('opencode', 'OpenCode'),
        @('amp', 'Amp'),
        @('vibe', 'Mistral Vibe'),
        @('lm-studio', 'LM Studio'),
        @('kiro', 'Kiro'),
        @('copilot-cli', 'Copilot CLI'),
        @('factory', 'Factory'),
        @('kimi', 'Kimi'),
        @('antigravity', 'Antigravity')
    )
    $kinds['shell'] = @(
        @('bash', ''),
        @('zsh', ''),
        @('fish', ''),
        @('powershell', '')
    )
    $kinds['protocol'] = @(
        @('http/protobuf', ''),
        @('grpc', '')
    )
    $kinds['true/false'] = @(
        @('true', ''),
        @('false', '')
    )
    $kinds['value usage-analytics-enabled'] = @(
        @('true', ''),
        @('false', '')
    )
    $kinds['value protocol'] = @(
        @('http/protobuf', ''),
        @('grpc', '')
    )
    $kinds['value insecure'] = @(
        @('true', ''),
        @('false', '')
    )
    $kinds['value tracing-enabled'] = @(
        @('true', ''),
        @('false', '')
    )
    $kinds['value metrics-enabled'] = @(
        @('true', ''),
        @('false', '')
    )
    $kinds['value use-legacy-attributes'] = @(
        @('true', ''),
        @('false', '')
    )
    $kinds['value enable-prometheus-metrics-path'] = @(
        @('true', ''),
        @('false', '')
    )
    $kinds['value enabled'] = @(
        @('true', ''),
        @('false', '')
    )
    $kinds['stdio/streamable-http/sse'] = @(
        @('stdio', ''),
        @('streamable-http', ''),
        @('sse', '')
    )
    $kinds['text/json'] = @(
        @('text', ''),
        @('json', '')
    )
    $kinds['server/uptime/calls/errors/in-flight/p95/rate'] = @(
        @('server', ''),
        @('uptime', ''),
        @('calls', ''),
        @('errors', ''),
        @('in-flight', ''),
        @('p95', ''),
        @('rate', '')
    )
    $kinds['verb'] = @(
        @('run', 'Run an MCP server behind the relay'),
        @('proxy', 'Front an MCP server that speaks HTTP'),
        @('doctor', 'Find out what is wrong with your MCP clients'' servers'),
        @('log', 'Show how calls ended'),
        @('top', 'Watch the running sessions'),
        @('report', 'Sum up the calls by server and tool'),
        @('why', 'Show how sessions ended'),
        @('mcp', 'Try an MCP server by hand, through the same relay as a client'),
        @('client', 'Put thv in front of your MCP clients'' servers'),
        @('auth', 'Log in to remote MCP servers, and out again'),
        @('config', 'Read and change the config file'),
        @('analytics', 'See whether usage analytics are on, and what is sent'),
        @('operator', 'Run MCP servers on Kubernetes: one MCPServer resource each'),
        @('version', 'Print the version, as --version does'),
        @('help', 'Explain a command, as --help does'),
        @('completion', 'Print the script that makes TAB complete')
    )

    $find = {
        param($entry, $word)
        $flag = if ($word.StartsWith('--')) { $word.Split('=')[0] } else { $word.Substring(0, [Math]::Min(2, $word.Length)) }
        $entry.flags | Where-Object { $_[0].TrimStart('+').Split('=')[0].Split(',') -ccontains $flag } |
            Select-Object -First 1 | ForEach-Object { $_[0] }
    }
    $show = {
        param($found, $prefix, $start)
        foreach ($pair in $found) {
            if ($pair[0].StartsWith($start)) {
                $tip = if ($pair[1]) { $pair[1] } else { $pair[0] }
                [System.Management.Automation.CompletionResult]::new($prefix + $pair[0], $pair[0], 'ParameterValue', $tip)
            }
        }
    }

    $cur = [string]$wordToComplete
    $typed = @($commandAst.CommandElements | Select-Object -Skip 1 |
            Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString().Trim('''"') })
    $at = ''
    $pending = ''
    $before = ''
    $seen = @()
    $place = 0
    $entry = $commands['']
    foreach ($word in $typed) {
        if ($pending) {
            $pending = ''
        } elseif ($word -eq '--') {
            return # PowerShell offers files where a completer offers nothing
        } elseif ($word.StartsWith('-') -and $word.Length -gt 1) {
            $option = & $find $entry $word
            $seen += $option
            $whole = if ($word.StartsWith('--')) { $word.Contains('=') } else { $word.Length -gt 2 }
            # =? stands before a value that comes only after =
            if ($option -and $option.Contains('=') -and -not $option.Contains('=?') -and -not $whole) { $pending = $option.Split('=')[1] }
        } elseif ($entry.verbs.Count) {
            $at = "$at $word".Trim()
            $entry = $commands[$at]
            if (-not $entry) { return }
        } else {
            $before = $word
            $place++
        }
    }

    $prefix = ''
    $kind = ''
    if ($pending) {
        $kind = $pending
    } elseif ($cur -like '--*=*') {
        $option = & $find $entry $cur
        if (-not $option -or -not $option.Contains('=')) { return }
        $kind = $option.Split('=')[1].TrimStart('?')
        $prefix, $cur = $cur -split '=', 2
        $prefix += '='
    } elseif ($entry.verbs.Count -and -not $cur.StartsWith('-')) {
        return & $show $entry.verbs '' $cur
    } else {
        $places = @($entry.places)
        if ($places.Count -and $places[-1] -eq '...' -and $place -ge $places.Count - 1) { $place = $places.Count - 2 }
        if ($place -lt $places.Count) { $kind = $places[$place] }
        if ($kind -eq 'value') { $kind = "value $before" }
        if (-not $kind -or $cur.StartsWith('-')) {
            $found = foreach ($pair in $entry.flags) {
                if ($pair[0].StartsWith('+') -or $seen -cnotcontains $pair[0]) {
                    foreach ($name in $pair[0].TrimStart('+').Split('=')[0].Split(',')) { , @($name, $pair[1]) }
                }
            }
            return & $show @($found) '' $cur
        }
    }
    if ($kind -eq 'client-server') {
        $found = & (Get-Command thv -CommandType Application | Select-Object -First 1) __complete client-servers 2>&1 |
            Where-Object { $_ -is [string] } | ForEach-Object { , @($_, '') }
        return & $show @($found) $prefix $cur
    }
    if ($kinds.ContainsKey($kind)) { & $show $kinds[$kind] $prefix $cur }
}
