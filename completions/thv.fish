# Completion of thv for fish 3 and later. Made by `python -m completions.maker`; do not edit.
# To use it:  thv completion fish | source  in ~/.config/fish/config.fish

function __thv_look -S # COMMAND: what may follow it
    set verbs
    set flags
    set places
    set tail ''
    switch $argv[1]
        case ''
            set verbs \
                'run'\t'Run an MCP server behind the relay' \
                'proxy'\t'Front an MCP server that speaks HTTP' \
                'doctor'\t'Find out what is wrong with your MCP clients\' servers' \
                'log'\t'Show how calls ended' \
                'top'\t'Watch the running sessions' \
                'report'\t'Sum up the calls by server and tool' \
                'why'\t'Show how sessions ended' \
                'mcp'\t'Try an MCP server by hand, through the same relay as a client' \
                'client'\t'Put thv in front of your MCP clients\' servers' \
                'auth'\t'Log in to remote MCP servers, and out again' \
                'config'\t'Read and change the config file' \
                'analytics'\t'See whether usage analytics are on, and what is sent' \
                'operator'\t'Run MCP servers on Kubernetes: one MCPServer resource each' \
                'version'\t'Print the version, as --version does' \
                'help'\t'Explain a command, as --help does' \
                'completion'\t'Print the script that makes TAB complete'
            set flags \
                '--version,-V'\t'Print the version' \
                '--debug'\t'Log what thv does, and show tracebacks' \
                '--help,-h'\t'Show this message and exit'
        case 'run'
            set flags \
                '+--env,-e=nothing'\t'Set a variable in the server\'s environment' \
                '+--env-file=file'\t'Read KEY=VALUE lines into the server\'s environment' \
                '--name=nothing'\t'Call the server NAME; by default its registry or package name' \
                '--cwd=directory'\t'Start the server in DIR' \
                '--network=nothing'\t'Attach a docker:// server to NETWORK, or none' \
                '+--volume=file'\t'Mount HOST_PATH:PATH[:ro] into a docker:// server' \
                '--transport=stdio/streamable-http/sse'\t'The transport of the server itself: stdio, streamable-http or sse' \
                '--target-port=nothing'\t'Tell the server to listen on PORT; by default a free one' \
                '--proxy-port=nothing'\t'Serve clients over HTTP on PORT, not on stdio' \
                '--host=nothing'\t'Listen on ADDRESS; by default 127.0.0.1' \
                '--shared'\t'Let all sessions share one server; by default each has its own' \
                '--max-sessions=nothing'\t'Refuse more sessions than N; by default 256' \
                '--session-ttl=nothing'\t'End a session that is not used for SECONDS; by default 1800' \
                '+--allowed-origins=nothing'\t'Also accept requests from web pages of ORIGIN' \
                '+--allowed-hosts=nothing'\t'Also accept requests for HOST, the name by which a tunnel or proxy reaches thv' \
                '--auth-token-file=file'\t'Require the bearer token in FILE from clients; or set TOOLHIVE_PROXY_AUTH_TOKEN' \
                '--no-auth'\t'Require no token, even if other machines can reach --host' \
                '+--header=nothing'\t'Send a header with every request. Command lines are visible to others: put secrets in a file' \
                '+--header-file=file'\t'Read headers from FILE, one NAME: VALUE a line' \
                '--bearer-token-file=file'\t'Send the bearer token in FILE; or set TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN' \
                '--ca-file=file'\t'Also trust the certificate authorities in FILE' \
                '--client-id=nothing'\t'Log in as client ID, or with the URL of a client metadata document; by default thv registers itself' \
                '--restart=?nothing'\t'Start a server that dies again, under its client; give up after N restarts in a minute, 5 by default' \
                '--call-timeout=nothing'\t'Cancel a tool call after SECONDS without reply or progress; its client gets an error' \
                '--no-journal'\t'Keep no local journal of this session; see thv log --help' \
                '--journal-capture'\t'Keep arguments and results in it, too: redacted, cut, on this machine only' \
                '--debug'\t'Log what thv does to stderr, and show each usage analytics payload' \
                '--otel-usage-analytics-enabled=?true/false'\t'=false: no anonymous usage analytics. It cannot turn them on' \
                '--otel-endpoint=nothing'\t'Your OTLP collector, as host:port or a URL; without one nothing is sent to you' \
                '--otel-protocol=protocol'\t'How to speak to it: http/protobuf or grpc; by the port when unset' \
                '+--otel-headers=nothing'\t'Headers sent to your collector, as KEY=VALUE,KEY=VALUE' \
                '--otel-insecure=?true/false'\t'No TLS for an endpoint that is written without a scheme' \
                '--otel-tracing-enabled=?true/false'\t'=false: do not send traces to your collector' \
                '--otel-metrics-enabled=?true/false'\t'=false: do not send metrics to your collector' \
                '--otel-sampling-rate=nothing'\t'The share of traces that is recorded, from 0.0 to 1.0' \
                '--otel-service-name=nothing'\t'The service your traces belong to; thv-<server> when unset' \
                '+--otel-env-vars=nothing'\t'Environment variables put on spans, as NAME,NAME' \
                '+--otel-custom-attributes=nothing'\t'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE' \
                '--otel-use-legacy-attributes=?true/false'\t'=false: do not put our older attribute names beside those of the OpenTelemetry conventions' \
                '--otel-enable-prometheus-metrics-path=?true/false'\t'Serve your metrics at /metrics on 127.0.0.1:9464' \
                '--otel-capture-arguments=?true/false'\t'Put tool arguments and results on spans, redacted and cut' \
                '--otel-propagate=?true/false'\t'Pass our trace context to the server: changes params._meta' \
                '--help,-h'\t'Show this message and exit'
            set places server
            set tail command
        case 'proxy'
            set flags \
                '--target-uri=nothing'\t'Where the server is: its MCP endpoint' \
                '--port=nothing'\t'Listen on PORT; by default a free one' \
                '--host=nothing'\t'Listen on ADDRESS; by default 127.0.0.1' \
                '+--allowed-origins=nothing'\t'Also accept requests from web pages of ORIGIN' \
                '+--allowed-hosts=nothing'\t'Also accept requests for HOST, the name by which a tunnel or proxy reaches thv' \
                '--no-journal'\t'Keep no local journal of this session; see thv log --help' \
                '--journal-capture'\t'Keep arguments and results in it, too: redacted, cut, on this machine only' \
                '--debug'\t'Log what thv does to stderr, and show each usage analytics payload' \
                '--otel-usage-analytics-enabled=?true/false'\t'=false: no anonymous usage analytics. It cannot turn them on' \
                '--otel-endpoint=nothing'\t'Your OTLP collector, as host:port or a URL; without one nothing is sent to you' \
                '--otel-protocol=protocol'\t'How to speak to it: http/protobuf or grpc; by the port when unset' \
                '+--otel-headers=nothing'\t'Headers sent to your collector, as KEY=VALUE,KEY=VALUE' \
                '--otel-insecure=?true/false'\t'No TLS for an endpoint that is written without a scheme' \
                '--otel-tracing-enabled=?true/false'\t'=false: do not send traces to your collector' \
                '--otel-metrics-enabled=?true/false'\t'=false: do not send metrics to your collector' \
                '--otel-sampling-rate=nothing'\t'The share of traces that is recorded, from 0.0 to 1.0' \
                '--otel-service-name=nothing'\t'The service your traces belong to; thv-<server> when unset' \
                '+--otel-env-vars=nothing'\t'Environment variables put on spans, as NAME,NAME' \
                '+--otel-custom-attributes=nothing'\t'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE' \
                '--otel-use-legacy-attributes=?true/false'\t'=false: do not put our older attribute names beside those of the OpenTelemetry conventions' \
                '--otel-enable-prometheus-metrics-path=?true/false'\t'Serve your metrics at /metrics on 127.0.0.1:9464' \
                '--otel-capture-arguments=?true/false'\t'Put tool arguments and results on spans, redacted and cut' \
                '--otel-propagate=?true/false'\t'Pass our trace context to the server: changes params._meta' \
                '--help,-h'\t'Show this message and exit'
            set places nothing
        case 'doctor'
            set flags \
                '--start'\t'Start each server as its client would, and ask it' \
                '--timeout=nothing'\t'With --start: give up on a server after SECONDS; by default 60' \
                '--project=directory'\t'Where to look for the files of a project' \
                '--format=text/json'\t'How to print the answer' \
                '--help,-h'\t'Show this message and exit'
            set places client ...
        case 'log'
            set flags \
                '--follow,-f'\t'Go on with calls as they end' \
                '--failed'\t'Only calls that failed' \
                '--tool=nothing'\t'Only calls of TOOL' \
                '--since=nothing'\t'Only since TIME: 30m, 1h, 7d, or a date' \
                '-n=nothing'\t'The last N; by default 50, or all of --since' \
                '--all'\t'Requests of every method, not only tool calls' \
                '--format=text/json'\t'How to print them' \
                '--help,-h'\t'Show this message and exit'
            set places server
        case 'top'
            set flags \
                '--sort=server/uptime/calls/errors/in-flight/p95/rate'\t'Sort by this column' \
                '--format=text/json'\t'text for people; json prints the sessions once' \
                '--help,-h'\t'Show this message and exit'
        case 'report'
            set flags \
                '--since=nothing'\t'Since TIME: 1h, 7d, or a date' \
                '--html=file'\t'Write one page with plots to FILE; - for stdout' \
                '--format=text/json'\t'How to print it; by default as text' \
                '--help,-h'\t'Show this message and exit'
            set places server
        case 'why'
            set flags \
                '-n=nothing'\t'The last N sessions' \
                '--format=text/json'\t'How to print them' \
                '--help,-h'\t'Show this message and exit'
            set places server
        case 'mcp'
            set verbs \
                'list'\t'List the tools of a server' \
                'call'\t'Call one tool of a server'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'mcp list'
            set flags \
                '--format=text/json'\t'Print the answer as text or json; by default text' \
                '--timeout=nothing'\t'Wait at most SECONDS for each reply, a download aside; 0 for no limit; by default 60' \
                '+--env,-e=nothing'\t'Set a variable in the server\'s environment' \
                '+--env-file=file'\t'Read KEY=VALUE lines into the server\'s environment' \
                '--name=nothing'\t'Call the server NAME; by default its registry or package name' \
                '--cwd=directory'\t'Start the server in DIR' \
                '--network=nothing'\t'Attach a docker:// server to NETWORK, or none' \
                '+--volume=file'\t'Mount HOST_PATH:PATH[:ro] into a docker:// server' \
                '+--header=nothing'\t'Send a header with every request. Command lines are visible to others: put secrets in a file' \
                '+--header-file=file'\t'Read headers from FILE, one NAME: VALUE a line' \
                '--bearer-token-file=file'\t'Send the bearer token in FILE; or set TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN' \
                '--ca-file=file'\t'Also trust the certificate authorities in FILE' \
                '--no-journal'\t'Keep no local journal of this session; see thv log --help' \
                '--debug'\t'Log what thv does to stderr, and show each usage analytics payload' \
                '--otel-usage-analytics-enabled=?true/false'\t'=false: no anonymous usage analytics. It cannot turn them on' \
                '--otel-endpoint=nothing'\t'Your OTLP collector, as host:port or a URL; without one nothing is sent to you' \
                '--otel-protocol=protocol'\t'How to speak to it: http/protobuf or grpc; by the port when unset' \
                '+--otel-headers=nothing'\t'Headers sent to your collector, as KEY=VALUE,KEY=VALUE' \
                '--otel-insecure=?true/false'\t'No TLS for an endpoint that is written without a scheme' \
                '--otel-tracing-enabled=?true/false'\t'=false: do not send traces to your collector' \
                '--otel-metrics-enabled=?true/false'\t'=false: do not send metrics to your collector' \
                '--otel-sampling-rate=nothing'\t'The share of traces that is recorded, from 0.0 to 1.0' \
                '--otel-service-name=nothing'\t'The service your traces belong to; thv-<server> when unset' \
                '+--otel-env-vars=nothing'\t'Environment variables put on spans, as NAME,NAME' \
                '+--otel-custom-attributes=nothing'\t'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE' \
                '--otel-use-legacy-attributes=?true/false'\t'=false: do not put our older attribute names beside those of the OpenTelemetry conventions' \
                '--otel-enable-prometheus-metrics-path=?true/false'\t'Serve your metrics at /metrics on 127.0.0.1:9464' \
                '--otel-capture-arguments=?true/false'\t'Put tool arguments and results on spans, redacted and cut' \
                '--otel-propagate=?true/false'\t'Pass our trace context to the server: changes params._meta' \
                '--help,-h'\t'Show this message and exit'
            set places server
            set tail words
        case 'mcp call'
            set flags \
                '--args-json=nothing'\t'Give the tool\'s arguments as one JSON object' \
                '--format=text/json'\t'Print the answer as text or json; by default text' \
                '--timeout=nothing'\t'Wait at most SECONDS for each reply, a download aside; 0 for no limit; by default 60' \
                '+--env,-e=nothing'\t'Set a variable in the server\'s environment' \
                '+--env-file=file'\t'Read KEY=VALUE lines into the server\'s environment' \
                '--name=nothing'\t'Call the server NAME; by default its registry or package name' \
                '--cwd=directory'\t'Start the server in DIR' \
                '--network=nothing'\t'Attach a docker:// server to NETWORK, or none' \
                '+--volume=file'\t'Mount HOST_PATH:PATH[:ro] into a docker:// server' \
                '+--header=nothing'\t'Send a header with every request. Command lines are visible to others: put secrets in a file' \
                '+--header-file=file'\t'Read headers from FILE, one NAME: VALUE a line' \
                '--bearer-token-file=file'\t'Send the bearer token in FILE; or set TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN' \
                '--ca-file=file'\t'Also trust the certificate authorities in FILE' \
                '--no-journal'\t'Keep no local journal of this session; see thv log --help' \
                '--debug'\t'Log what thv does to stderr, and show each usage analytics payload' \
                '--otel-usage-analytics-enabled=?true/false'\t'=false: no anonymous usage analytics. It cannot turn them on' \
                '--otel-endpoint=nothing'\t'Your OTLP collector, as host:port or a URL; without one nothing is sent to you' \
                '--otel-protocol=protocol'\t'How to speak to it: http/protobuf or grpc; by the port when unset' \
                '+--otel-headers=nothing'\t'Headers sent to your collector, as KEY=VALUE,KEY=VALUE' \
                '--otel-insecure=?true/false'\t'No TLS for an endpoint that is written without a scheme' \
                '--otel-tracing-enabled=?true/false'\t'=false: do not send traces to your collector' \
                '--otel-metrics-enabled=?true/false'\t'=false: do not send metrics to your collector' \
                '--otel-sampling-rate=nothing'\t'The share of traces that is recorded, from 0.0 to 1.0' \
                '--otel-service-name=nothing'\t'The service your traces belong to; thv-<server> when unset' \
                '+--otel-env-vars=nothing'\t'Environment variables put on spans, as NAME,NAME' \
                '+--otel-custom-attributes=nothing'\t'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE' \
                '--otel-use-legacy-attributes=?true/false'\t'=false: do not put our older attribute names beside those of the OpenTelemetry conventions' \
                '--otel-enable-prometheus-metrics-path=?true/false'\t'Serve your metrics at /metrics on 127.0.0.1:9464' \
                '--otel-capture-arguments=?true/false'\t'Put tool arguments and results on spans, redacted and cut' \
                '--otel-propagate=?true/false'\t'Pass our trace context to the server: changes params._meta' \
                '--help,-h'\t'Show this message and exit'
            set places server nothing nothing ...
            set tail words
        case 'client'
            set verbs \
                'list'\t'List the clients that are found here, their files and their servers' \
                'wrap'\t'Put thv in front of servers: their client starts thv, which starts them' \
                'unwrap'\t'Take thv away again from the servers that were wrapped'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'client list'
            set flags \
                '--project=directory'\t'Where to look for the files of a project' \
                '--format=text/json'\t'How to print the answer' \
                '--help,-h'\t'Show this message and exit'
            set places client ...
        case 'client wrap'
            set flags \
                '+--server=client-server'\t'Only the server of this name; may be given again' \
                '--project=directory'\t'Where to look for the files of a project' \
                '--dry-run'\t'Show what would change, and change nothing' \
                '--format=text/json'\t'How to print the answer' \
                '--help,-h'\t'Show this message and exit'
            set places client ...
        case 'client unwrap'
            set flags \
                '+--server=client-server'\t'Only the server of this name; may be given again' \
                '--project=directory'\t'Where to look for the files of a project' \
                '--dry-run'\t'Show what would change, and change nothing' \
                '--format=text/json'\t'How to print the answer' \
                '--help,-h'\t'Show this message and exit'
            set places client ...
        case 'auth'
            set verbs \
                'login'\t'Log in to a remote server with your browser' \
                'list'\t'List the servers that you are logged in to' \
                'logout'\t'Forget a log-in, and tell the server\'s issuer so where it takes that'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'auth login'
            set flags \
                '--client-id=nothing'\t'Use ID, or the URL of a client metadata document; by default thv registers itself' \
                '--client-secret-file=file'\t'Read the secret that goes with --client-id' \
                '--scope=nothing'\t'Ask for SCOPES; by default for what the server says' \
                '--callback-port=nothing'\t'Let the browser come back to PORT; by default a free one' \
                '--timeout=nothing'\t'Wait at most SECONDS for the browser; by default 300' \
                '--ca-file=file'\t'Also trust the certificate authorities in FILE' \
                '--no-browser'\t'Show the address to open, and open no browser' \
                '--help,-h'\t'Show this message and exit'
            set places nothing
        case 'auth list'
            set flags \
                '--format=text/json'\t'How to print the answer' \
                '--help,-h'\t'Show this message and exit'
        case 'auth logout'
            set flags \
                '--all'\t'Log out of every server' \
                '--help,-h'\t'Show this message and exit'
            set places nothing
        case 'config'
            set verbs \
                'path'\t'Print where the config file is, whether or not it exists' \
                'edit'\t'Open the config file in your editor, and check it afterwards' \
                'otel'\t'Read and change its `otel` settings, usage analytics among them' \
                'journal'\t'Read and change its `journal` settings'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'config path'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'config edit'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'config otel'
            set verbs \
                'get'\t'Print the value of a setting' \
                'set'\t'Write a setting into the config file' \
                'unset'\t'Remove a setting from the config file' \
                'list'\t'Print every setting'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'config otel get'
            set flags \
                '--reveal'\t'Show secrets: header values, user and query of an endpoint' \
                '--help,-h'\t'Show this message and exit'
            set places key
        case 'config otel set'
            set flags \
                '--add'\t'Add to a list or a map, and leave its other entries as they are' \
                '--help,-h'\t'Show this message and exit'
            set places key value
        case 'config otel unset'
            set flags \
                '--help,-h'\t'Show this message and exit'
            set places key
        case 'config otel list'
            set flags \
                '--format=text/json'\t'text for people, json for programs' \
                '--reveal'\t'Show secrets: header values, user and query of an endpoint' \
                '--help,-h'\t'Show this message and exit'
        case 'config journal'
            set verbs \
                'get'\t'Print the value of a setting' \
                'set'\t'Write a setting into the config file' \
                'unset'\t'Remove a setting from the config file' \
                'list'\t'Print every setting'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'config journal get'
            set flags \
                '--reveal'\t'Show secrets: header values, user and query of an endpoint' \
                '--help,-h'\t'Show this message and exit'
            set places journal-key
        case 'config journal set'
            set flags \
                '--add'\t'Add to a list or a map, and leave its other entries as they are' \
                '--help,-h'\t'Show this message and exit'
            set places journal-key value
        case 'config journal unset'
            set flags \
                '--help,-h'\t'Show this message and exit'
            set places journal-key
        case 'config journal list'
            set flags \
                '--format=text/json'\t'text for people, json for programs' \
                '--reveal'\t'Show secrets: header values, user and query of an endpoint' \
                '--help,-h'\t'Show this message and exit'
        case 'analytics'
            set verbs \
                'status'\t'Print whether usage analytics are on, and what decided that' \
                'show'\t'Print a report byte by byte, and the history of those sent' \
                'clear'\t'Forget what this machine has sent'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'analytics status'
            set flags \
                '--format=text/json'\t'How to print the answer' \
                '--help,-h'\t'Show this message and exit'
        case 'analytics show'
            set flags \
                '--format=text/json'\t'How to print the answer' \
                '--help,-h'\t'Show this message and exit'
        case 'analytics clear'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'operator'
            set verbs \
                'run'\t'Run the operator until it is stopped'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'operator run'
            set flags \
                '--all-namespaces'\t'Look after the MCPServers of the whole cluster' \
                '+--namespace=nothing'\t'Look after those of one namespace; repeatable' \
                '--thv-image=nothing'\t'thv\'s own image, for the pods it makes; else THV_OPERATOR_IMAGE' \
                '--usage-analytics-enabled=true/false'\t'false turns anonymous usage analytics off for every server' \
                '+--allowed-origins=nothing'\t'Let web pages of ORIGIN talk to the servers; repeatable' \
                '--resync=nothing'\t'How often everything is looked through' \
                '--liveness=nothing'\t'Serve a liveness probe, as http://0.0.0.0:8081/healthz' \
                '--debug'\t'Say more on stderr' \
                '--help,-h'\t'Show this message and exit'
        case 'version'
            set flags \
                '--help,-h'\t'Show this message and exit'
        case 'help'
            set flags \
                '--help,-h'\t'Show this message and exit'
            set places verb ...
        case 'completion'
            set flags \
                '--help,-h'\t'Show this message and exit'
            set places shell
        case '*'
            return 1
    end
    return 0
end

function __thv_words -S # KIND: the words of it
    set found
    switch $argv[1]
        case 'server'
            set found \
                'demo'\t'A small server inside thv: add, echo, now, wait, and a tool that fails on demand' \
                'time'\t'The time now, and conversion between time zones' \
                'fetch'\t'Fetches a web page and turns it into Markdown' \
                'git'\t'Reads, searches and changes Git repositories' \
                'filesystem'\t'Reads and writes files inside the directories given' \
                'memory'\t'A knowledge graph that lasts between sessions' \
                'everything'\t'Exercises every feature of the protocol: made for testing clients' \
                'sequentialthinking'\t'Breaks a problem into thoughts that can be revised' \
                'uvx://'\t'a PyPI package' \
                'npx://'\t'an npm package' \
                'docker://'\t'a container image' \
                'https://'\t'a remote server'
        case 'key'
            set found \
                'usage-analytics-enabled'\t'Anonymous usage analytics: how many tool calls went well' \
                'endpoint'\t'Your OTLP collector, as host:port or a URL; without one nothing is sent to you' \
                'protocol'\t'How to speak to it: http/protobuf or grpc; by the port when unset' \
                'headers'\t'Headers sent to your collector, as KEY=VALUE,KEY=VALUE' \
                'insecure'\t'No TLS for an endpoint that is written without a scheme' \
                'tracing-enabled'\t'Send traces to your collector' \
                'metrics-enabled'\t'Send metrics to your collector' \
                'sampling-rate'\t'The share of traces that is recorded, from 0.0 to 1.0' \
                'service-name'\t'The service your traces belong to; thv-<server> when unset' \
                'env-vars'\t'Environment variables put on spans, as NAME,NAME' \
                'custom-attributes'\t'Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE' \
                'use-legacy-attributes'\t'Put our older attribute names beside those of the OpenTelemetry conventions' \
                'enable-prometheus-metrics-path'\t'Serve your metrics at /metrics on 127.0.0.1:9464'
        case 'journal-key'
            set found \
                'enabled'\t'Keep a local journal of how requests ended, as shown by thv log, top, report and why' \
                'max-size'\t'The most bytes the journal takes; the oldest go first' \
                'max-age'\t'How long anything stays in the journal'
        case 'client'
            set found \
                'claude-desktop'\t'Claude Desktop' \
                'claude-code'\t'Claude Code' \
                'cursor'\t'Cursor' \
                'vscode'\t'VS Code' \
                'codex'\t'Codex' \
                'gemini-cli'\t'Gemini CLI' \
                'windsurf'\t'Windsurf' \
                'cline'\t'Cline' \
                'roo'\t'Roo Code' \
                'zed'\t'Zed' \
                'goose'\t'Goose' \
                'continue'\t'Continue' \
                'opencode'\t'OpenCode' \
                'amp'\t'Amp' \
                'vibe'\t'Mistral Vibe' \
                'lm-studio'\t'LM Studio' \
                'kiro'\t'Kiro' \
                'copilot-cli'\t'Copilot CLI' \
                'factory'\t'Factory' \
                'kimi'\t'Kimi' \
                'antigravity'\t'Antigravity'
        case 'shell'
            set found \
                'bash' \
                'zsh' \
                'fish' \
                'powershell'
        case 'protocol'
            set found \
                'http/protobuf' \
                'grpc'
        case 'true/false'
            set found \
                'true' \
                'false'
        case 'value usage-analytics-enabled'
            set found \
                'true' \
                'false'
        case 'value protocol'
            set found \
                'http/protobuf' \
                'grpc'
        case 'value insecure'
            set found \
                'true' \
                'false'
        case 'value tracing-enabled'
            set found \
                'true' \
                'false'
        case 'value metrics-enabled'
            set found \
                'true' \
                'false'
        case 'value use-legacy-attributes'
            set found \
                'true' \
                'false'
        case 'value enable-prometheus-metrics-path'
            set found \
                'true' \
                'false'
        case 'value enabled'
            set found \
                'true' \
                'false'
        case 'stdio/streamable-http/sse'
            set found \
                'stdio' \
                'streamable-http' \
                'sse'
        case 'text/json'
            set found \
                'text' \
                'json'
        case 'server/uptime/calls/errors/in-flight/p95/rate'
            set found \
                'server' \
                'uptime' \
                'calls' \
                'errors' \
                'in-flight' \
                'p95' \
                'rate'
        case 'verb'
            set found \
                'run'\t'Run an MCP server behind the relay' \
                'proxy'\t'Front an MCP server that speaks HTTP' \
                'doctor'\t'Find out what is wrong with your MCP clients\' servers' \
                'log'\t'Show how calls ended' \
                'top'\t'Watch the running sessions' \
                'report'\t'Sum up the calls by server and tool' \
                'why'\t'Show how sessions ended' \
                'mcp'\t'Try an MCP server by hand, through the same relay as a client' \
                'client'\t'Put thv in front of your MCP clients\' servers' \
                'auth'\t'Log in to remote MCP servers, and out again' \
                'config'\t'Read and change the config file' \
                'analytics'\t'See whether usage analytics are on, and what is sent' \
                'operator'\t'Run MCP servers on Kubernetes: one MCPServer resource each' \
                'version'\t'Print the version, as --version does' \
                'help'\t'Explain a command, as --help does' \
                'completion'\t'Print the script that makes TAB complete'
    end
end

function __thv_flag -S # WORD: the option it gives: sets given (whether its value is in the same word), option
    set option ''
    set given ''
    set -l flag $argv[1]
    if string match -q -- '--*=*' $flag
        set flag (string split -m 1 = -- $flag)[1]
        set given yes
    else if not string match -q -- '--*' $flag; and test (string length -- $flag) -gt 2
        set flag (string sub -l 2 -- $flag)
        set given yes
    end
    for each in (string split -f 1 \t -- $flags)
        if contains -- $flag (string split , -- (string replace -r '^\+' '' -- (string split -m 1 = -- $each)[1]))
            set option $each
        end
    end
end

function __thv_complete
    set -l typed (commandline -opc)
    # Behind sudo or env, some versions of fish hand on the whole line.
    while set -q typed[1]; and not string match -q -r '(^|/)thv$' -- $typed[1]
        set -e typed[1]
    end
    set -l cur (string trim -l -c '"\'' -- (commandline -ct))
    set -l at ''
    set -l pending ''
    set -l before ''
    set -l seen
    set -l place 1
    set -l dashes 0
    set -l verbs
    set -l flags
    set -l places
    set -l tail ''
    set -l found
    set -l option ''
    set -l given ''
    __thv_look ''
    for i in (seq 2 (count $typed))
        set -l word $typed[$i]
        if test -n "$pending"
            set pending ''
        else if test "$word" = --
            set dashes $i
            break
        else if string match -q -- '-?*' $word
            __thv_flag $word
            set -a seen $option
            if test -z "$given"; and string match -q -r -- '=[^?]' $option # not =?, a value only after =
                set pending (string split -m 1 = -- $option)[2]
            end
        else if set -q verbs[1]
            set at (string trim -- "$at $word")
            __thv_look $at; or return
        else
            set before $word
            set place (math $place + 1)
        end
    end

    set -l prefix ''
    set -l kind ''
    if test $dashes -gt 0
        test -n "$tail"; or return
        if test $tail = command -a $place -eq 1
            set -l own $typed[(math $dashes + 1)..-1]
            complete -C (string join ' ' -- (string escape -- $own) $cur)
        else
            __fish_complete_path (string unescape -- $cur; or string join '' -- $cur)
        end
        return
    else if test -n "$pending"
        set kind $pending
    else if string match -q -- '--*=*' $cur
        __thv_flag $cur
        set prefix (string split -m 1 = -- $cur)[1]=
        set cur (string trim -l -c '"\'' -- (string split -m 1 = -- $cur)[2])
        string match -q -- '*=*' $option; and set kind (string replace -r '^\?' '' -- (string split -m 1 = -- $option)[2])
    else if set -q verbs[1]; and not string match -q -- '-*' $cur
        string join \n -- $verbs
        return
    else
        if test "$places[-1]" = ...; and test $place -ge (count $places)
            set place (math (count $places) - 1)
        end
        set -q places[$place]; and set kind $places[$place]
        test "$kind" = value; and set kind "value $before"
        if contains -- "$kind" server client; and not string match -q '*://*' -- $cur; and string match -q -r '/|^[.~]' -- $cur
            set kind file
        end
        if test -z "$kind"; or string match -q -- '-*' $cur
            for each in $flags
                set -l spec (string split -m 1 \t -- $each)
                if string match -q -- '+*' $spec[1]; or not contains -- $spec[1] $seen
                    set -l names (string replace -r '^\+' '' -- (string split -m 1 = -- $spec[1])[1])
                    printf '%s\t'$spec[2]'\n' (string split , -- $names)
                end
            end
            test -n "$tail"; and printf -- '--\twhat follows is the server\'s own\n'
            return
        end
    end

    set cur (string unescape -- $cur; or string join '' -- $cur)
    switch $kind
        case file
            __fish_complete_path $cur | string replace -r '^' -- $prefix
        case directory
            __fish_complete_directories $cur | string replace -r '^' -- $prefix
        case client-server
            command thv __complete client-servers 2>/dev/null | string replace -r '^' -- "$prefix"
        case '*'
            __thv_words $kind
            # A prefix that is there already: fish would put a blank behind it.
            contains -- $cur 'uvx://' 'npx://'; and return
            string replace -r '^' -- "$prefix" $found
    end
end

complete -c thv -f -k -a '(__thv_complete)'
