# Completion of thv for fish 3 and later. Made by `python -m completions.maker`; do not edit.
# To use it:  thv completion fish | source  in ~/.config/fish/config.fish

@TABLES@

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
