# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion: commands, options and domains come from xenpt itself.

# Names of domains, for the part that is typed so far. A colon ends a word for bash, so
# that "sim:cr" is three, of which only the last is replaced.
_xenpt_domains()
{
	local program=$1 typed=$2 names

	# Names that a shell takes as they are.
	names=$("$program" list --json 2>/dev/null |
		grep -oE '"name":"[A-Za-z0-9_.:+-]+"' | cut -d'"' -f4)
	mapfile -t COMPREPLY < <(compgen -W "$names" -- "$typed")
	if [[ $typed == *:* && $COMP_WORDBREAKS == *:* ]]; then
		COMPREPLY=("${COMPREPLY[@]#"${typed%:*}":}")
	fi
}

_xenpt()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} command='' words='' typed i

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

	# The words that are one for us, and the option before them.
	typed=$cur
	i=$((COMP_CWORD - 1))
	if [[ $cur == : ]]; then
		typed=$prev:
		i=$((COMP_CWORD - 2))
	elif [[ $prev == : ]]; then
		typed=${COMP_WORDS[COMP_CWORD - 2]}:$cur
		i=$((COMP_CWORD - 3))
	fi
	if [[ $typed == = ]]; then
		typed=
	elif [[ ${COMP_WORDS[i]} == = ]]; then
		i=$((i - 1))
	fi
	case $command:${COMP_WORDS[i]} in
	check:-d | check:--domain | record:-d | record:--domain)
		_xenpt_domains "$program" "$typed"
		return
		;;
	esac

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
