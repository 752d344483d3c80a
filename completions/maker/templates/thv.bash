# Completion of thv for bash 3.2 and later. Made by `python -m completions.maker`; do not edit.
# To use it:  eval "$(thv completion bash)"  in ~/.bashrc

@TABLES@

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
