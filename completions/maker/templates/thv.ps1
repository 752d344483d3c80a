# Completion of thv for PowerShell 5.1 and later. Made by `python -m completions.maker`; do not edit.
# To use it:  thv completion powershell | Out-String | Invoke-Expression  in the file that $PROFILE names

Register-ArgumentCompleter -Native -CommandName 'thv', 'thv.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

@TABLES@

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
