# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion: commands and options come from xenpt itself.

_xenpt()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} command='' words='' i

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-* | = | always | auto | never) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done

	if [[ $prev == --color || ($prev == '=' && ${COMP_WORDS[COMP_CWORD - 2]} == --color) ]]; then
		words='always auto never'
	elif [[ $cur == -* ]]; then
		# shellcheck disable=SC2086
		words=$("$program" --list-opts $command 2>/dev/null | grep '^--')
		words="$words --help --usage --version"
	elif [[ -z $command ]]; then
		words=$("$program" --list-cmds 2>/dev/null)
	elif [[ $command == help ]]; then
		words=$("$program" --list-cmds 2>/dev/null)
	else
		compopt -o default # names of files
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}

complete -F _xenpt xenpt
