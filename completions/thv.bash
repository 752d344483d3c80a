# Completion of thv for bash 3.2 and later. Made by `python -m completions.maker`; do not edit.
# To use it:  eval "$(thv completion bash)"  in ~/.bashrc

_thv_look() { # COMMAND: what may follow it
    verbs='' flags='' places='' tail=''
    case $1 in
    '')
        verbs='run proxy doctor log top report why mcp client auth config analytics operator version help completion'
        flags='--version,-V --debug --help,-h'
        ;;
    'run')
        flags='+--env,-e=nothing +--env-file=file --name=nothing --cwd=directory --network=nothing +--volume=file --transport=stdio/streamable-http/sse --target-port=nothing --proxy-port=nothing --host=nothing --shared --max-sessions=nothing --session-ttl=nothing +--allowed-origins=nothing +--allowed-hosts=nothing --auth-token-file=file --no-auth +--header=nothing +--header-file=file --bearer-token-file=file --ca-file=file --client-id=nothing --restart=?nothing --call-timeout=nothing --no-journal --journal-capture --debug --otel-usage-analytics-enabled=?true/false --otel-endpoint=nothing --otel-protocol=protocol +--otel-headers=nothing --otel-insecure=?true/false --otel-tracing-enabled=?true/false --otel-metrics-enabled=?true/false --otel-sampling-rate=nothing --otel-service-name=nothing +--otel-env-vars=nothing +--otel-custom-attributes=nothing --otel-use-legacy-attributes=?true/false --otel-enable-prometheus-metrics-path=?true/false --otel-capture-arguments=?true/false --otel-propagate=?true/false --help,-h'
        places='server'
        tail='command'
        ;;
    'proxy')
        flags='--target-uri=nothing --port=nothing --host=nothing +--allowed-origins=nothing +--allowed-hosts=nothing --no-journal --journal-capture --debug --otel-usage-analytics-enabled=?true/false --otel-endpoint=nothing --otel-protocol=protocol +--otel-headers=nothing --otel-insecure=?true/false --otel-tracing-enabled=?true/false --otel-metrics-enabled=?true/false --otel-sampling-rate=nothing --otel-service-name=nothing +--otel-env-vars=nothing +--otel-custom-attributes=nothing --otel-use-legacy-attributes=?true/false --otel-enable-prometheus-metrics-path=?true/false --otel-capture-arguments=?true/false --otel-propagate=?true/false --help,-h'
        places='nothing'
        ;;
    'doctor')
        flags='--start --timeout=nothing --project=directory --format=text/json --help,-h'
        places='client ...'
        ;;
    'log')
        flags='--follow,-f --failed --tool=nothing --since=nothing -n=nothing --all --format=text/json --help,-h'
        places='server'
        ;;
    'top')
        flags='--sort=server/uptime/calls/errors/in-flight/p95/rate --format=text/json --help,-h'
        ;;
    'report')
        flags='--since=nothing --html=file --format=text/json --help,-h'
        places='server'
        ;;
    'why')
        flags='-n=nothing --format=text/json --help,-h'
        places='server'
        ;;
    'mcp')
        verbs='list call'
        flags='--help,-h'
        ;;
    'mcp list')
        flags='--format=text/json --timeout=nothing +--env,-e=nothing +--env-file=file --name=nothing --cwd=directory --network=nothing +--volume=file +--header=nothing +--header-file=file --bearer-token-file=file --ca-file=file --no-journal --debug --otel-usage-analytics-enabled=?true/false --otel-endpoint=nothing --otel-protocol=protocol +--otel-headers=nothing --otel-insecure=?true/false --otel-tracing-enabled=?true/false --otel-metrics-enabled=?true/false --otel-sampling-rate=nothing --otel-service-name=nothing +--otel-env-vars=nothing +--otel-custom-attributes=nothing --otel-use-legacy-attributes=?true/false --otel-enable-prometheus-metrics-path=?true/false --otel-capture-arguments=?true/false --otel-propagate=?true/false --help,-h'
        places='server'
        tail='words'
        ;;
    'mcp call')
        flags='--args-json=nothing --format=text/json --timeout=nothing +--env,-e=nothing +--env-file=file --name=nothing --cwd=directory --network=nothing +--volume=file +--header=nothing +--header-file=file --bearer-token-file=file --ca-file=file --no-journal --debug --otel-usage-analytics-enabled=?true/false --otel-endpoint=nothing --otel-protocol=protocol +--otel-headers=nothing --otel-insecure=?true/false --otel-tracing-enabled=?true/false --otel-metrics-enabled=?true/false --otel-sampling-rate=nothing --otel-service-name=nothing +--otel-env-vars=nothing +--otel-custom-attributes=nothing --otel-use-legacy-attributes=?true/false --otel-enable-prometheus-metrics-path=?true/false --otel-capture-arguments=?true/false --otel-propagate=?true/false --help,-h'
        places='server nothing nothing ...'
        tail='words'
        ;;
    'client')
        verbs='list wrap unwrap'
        flags='--help,-h'
        ;;
    'client list')
        flags='--project=directory --format=text/json --help,-h'
        places='client ...'
        ;;
    'client wrap')
        flags='+--server=client-server --project=directory --dry-run --format=text/json --help,-h'
        places='client ...'
        ;;
    'client unwrap')
        flags='+--server=client-server --project=directory --dry-run --format=text/json --help,-h'
        places='client ...'
        ;;
    'auth')
        verbs='login list logout'
        flags='--help,-h'
        ;;
    'auth login')
        flags='--client-id=nothing --client-secret-file=file --scope=nothing --callback-port=nothing --timeout=nothing --ca-file=file --no-browser --help,-h'
        places='nothing'
        ;;
    'auth list')
        flags='--format=text/json --help,-h'
        ;;
    'auth logout')
        flags='--all --help,-h'
        places='nothing'
        ;;
    'config')
        verbs='path edit otel journal'
        flags='--help,-h'
        ;;
    'config path')
        flags='--help,-h'
        ;;
    'config edit')
        flags='--help,-h'
        ;;
    'config otel')
        verbs='get set unset list'
        flags='--help,-h'
        ;;
    'config otel get')
        flags='--reveal --help,-h'
        places='key'
        ;;
    'config otel set')
        flags='--add --help,-h'
        places='key value'
        ;;
    'config otel unset')
        flags='--help,-h'
        places='key'
        ;;
    'config otel list')
        flags='--format=text/json --reveal --help,-h'
        ;;
    'config journal')
        verbs='get set unset list'
        flags='--help,-h'
        ;;
    'config journal get')
        flags='--reveal --help,-h'
        places='journal-key'
        ;;
    'config journal set')
        flags='--add --help,-h'
        places='journal-key value'
        ;;
    'config journal unset')
        flags='--help,-h'
        places='journal-key'
        ;;
    'config journal list')
        flags='--format=text/json --reveal --help,-h'
        ;;
    'analytics')
        verbs='status show clear'
        flags='--help,-h'
        ;;
    'analytics status')
        flags='--format=text/json --help,-h'
        ;;
    'analytics show')
        flags='--format=text/json --help,-h'
        ;;
    'analytics clear')
        flags='--help,-h'
        ;;
    'operator')
        verbs='run'
        flags='--help,-h'
        ;;
    'operator run')
        flags='--all-namespaces +--namespace=nothing --thv-image=nothing --usage-analytics-enabled=true/false +--allowed-origins=nothing --resync=nothing --liveness=nothing --debug --help,-h'
        ;;
    'version')
        flags='--help,-h'
        ;;
    'help')
        flags='--help,-h'
        places='verb ...'
        ;;
    'completion')
        flags='--help,-h'
        places='shell'
        ;;
    *) return 1 ;;
    esac
}

_thv_words() { # KIND: the words of it
    case $1 in
    'server') found='demo time fetch git filesystem memory everything sequentialthinking uvx:// npx:// docker:// https://' ;;
    'key') found='usage-analytics-enabled endpoint protocol headers insecure tracing-enabled metrics-enabled sampling-rate service-name env-vars custom-attributes use-legacy-attributes enable-prometheus-metrics-path' ;;
    'journal-key') found='enabled max-size max-age' ;;
    'client') found='claude-desktop claude-code cursor vscode codex gemini-cli windsurf cline roo zed goose continue opencode amp vibe lm-studio kiro copilot-cli factory kimi antigravity' ;;
    'shell') found='bash zsh fish powershell' ;;
    'protocol') found='http/protobuf grpc' ;;
    'true/false') found='true false' ;;
    'value usage-analytics-enabled') found='true false' ;;
    'value protocol') found='http/protobuf grpc' ;;
    'value insecure') found='true false' ;;
    'value tracing-enabled') found='true false' ;;
    'value metrics-enabled') found='true false' ;;
    'value use-legacy-attributes') found='true false' ;;
    'value enable-prometheus-metrics-path') found='true false' ;;
    'value enabled') found='true false' ;;
    'stdio/streamable-http/sse') found='stdio streamable-http sse' ;;
    'text/json') found='text json' ;;
    'server/uptime/calls/errors/in-flight/p95/rate') found='server uptime calls errors in-flight p95 rate' ;;
    'verb') found='run proxy doctor log top report why mcp client auth config analytics operator version help completion' ;;
    *) found='' ;;
    esac
}

_thv_flag() { # WORD: the option it gives: sets flag, given (the value in the same word), option
    local each names
    option=''
    case $1 in
    --*) flag=${1%%=*} given=${1#"${1%%=*}"} ;;
    *) flag=${1:0:2} given=${1:2} ;;
    esac
    for each in $flags; do
        names=${each%%=*}
        [[ ",${names#+}," == *",$flag,"* ]] && option=$each
    done
}

_thv_executables() { # PREFIX: what PATH has; functions and aliases are the shell's own, thv cannot run them
    local folder file IFS=:
    for folder in $PATH; do
        for file in "$folder/$1"*; do
            [[ -x $file && ! -d $file ]] && COMPREPLY+=("${file##*/}")
        done
    done
}

_thv() {
    local IFS=$' \t\n' verbs flags places tail found='' flag given option
    local rest=${COMP_LINE:0:COMP_POINT} raw i
    local -a typed
    typed=()
    # bash also splits words at : and =. Put together what no blank separates.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if [[ $i -eq 0 || $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            typed+=('')
        fi
        raw=${COMP_WORDS[i]}
        [[ $i -eq $COMP_CWORD ]] && raw=$rest
        typed[${#typed[@]} - 1]+=$raw
        rest=${rest#"$raw"}
    done

    local last=$((${#typed[@]} - 1)) at='' seen=' ' pending='' before='' place=0 dashes=0 word
    _thv_look ''
    for ((i = 1; i < last; i++)); do
        word=${typed[i]#[\"\']} word=${word%[\"\']}
        if [[ -n $pending ]]; then
            pending=''
        elif [[ $word == -- ]]; then
            dashes=$i
            break
        elif [[ $word == -?* ]]; then
            _thv_flag "$word"
            seen+="$option "
            [[ $option == *=[!?]* && -z $given ]] && pending=${option#*=} # not =?, a value only after =
        elif [[ -n $verbs ]]; then
            at="${at:+$at }$word"
            _thv_look "$at" || return 0
        else
            before=$word
            place=$((place + 1))
        fi
    done

    local cur=${typed[last]} prefix='' kind='' quote='' each
    # Inside an open quote readline wants the candidates without it.
    [[ $cur == [\"\']* ]] && quote=${cur:0:1} && cur=${cur:1}
    local value=$cur
    COMPREPLY=()
    if ((dashes)); then
        [[ -z $tail ]] && return 0
        kind=file
        [[ $tail == command && $place -eq 0 && $last -eq $((dashes + 1)) && $cur != */* ]] && kind=command
    elif [[ -n $pending ]]; then
        kind=$pending
    elif [[ $cur == --*=* ]]; then
        _thv_flag "$cur"
        kind=${option#*=} prefix=$flag= value=${cur#*=}
        kind=${kind#\?} value=${value#[\"\']}
    elif [[ -n $verbs && $cur != -* ]]; then
        found=$verbs
    else
        set -- $places
        [[ ${!#} == ... && $place -ge $(($# - 1)) ]] && place=$(($# - 2))
        ((place < $#)) && shift "$place" && kind=$1
        [[ $kind == value ]] && kind="value $before"
        [[ $kind == server || $kind == client ]] && [[ $cur != *://* && ($cur == */* || $cur == [.~]*) ]] && kind=file
        if [[ $cur == -* || -z $kind ]]; then
            kind=''
            for each in $flags ${tail:+--}; do
                [[ $each == +* || $seen != *" $each "* ]] || continue
                each=${each%%=*} each=${each#+}
                found+=" ${each//,/ }"
            done
        fi
    fi

    case $kind in
    '') ;;
    command) _thv_executables "$cur" ;;
    file | directory)
        flag=-f
        [[ $kind == directory ]] && flag=-d
        while IFS= read -r each; do
            [[ -n $each ]] && COMPREPLY+=("$prefix$each")
        done <<<"$(compgen "$flag" -- "$value")"
        compopt -o filenames 2>/dev/null
        ;;
    client-server) found=$(command thv __complete client-servers 2>/dev/null) ;;
    *) _thv_words "$kind" ;;
    esac
    for each in $found; do
        [[ $each == "$value"* ]] && COMPREPLY+=("$prefix$each")
    done

    # readline puts a candidate in the place of what follows the last : or = only.
    local breaks='' strip=''
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=:
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+='='
    [[ -n $breaks && -z $quote ]] && strip=${cur%"${cur##*[$breaks]}"}
    for ((i = 0; i < ${#COMPREPLY[@]}; i++)); do
        COMPREPLY[i]=${COMPREPLY[i]#"$strip"}
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *// ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _thv thv
