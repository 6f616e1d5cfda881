# bash completion for weir(8). The candidates come from weir's own command table.
_weir() {
  local IFS=$'\n'
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  local i
  # The command of `weir run -- CMD` completes as if it were typed alone.
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ ${COMP_WORDS[i]} == -- ]]; then
      if declare -F _command_offset >/dev/null; then _command_offset $((i + 1)); else COMPREPLY=($(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")); fi
      return
    fi
  done
  COMPREPLY=($("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null))
}
complete -F _weir weir
