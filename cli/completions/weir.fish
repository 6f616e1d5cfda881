# fish completion for weir(8). The candidates come from weir's own command table.
function __weir_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c weir -f -a '(__weir_complete)'
