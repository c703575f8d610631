# bash completion for vfioctl (needs bash 4.4 or newer)

_vfioctl_completion() {
    local line current typed='' index reply value kind
    local -a words

    # COMP_WORDS is cut at every colon of a PCI address, so the line itself is split, at blanks.
    line=${COMP_LINE:0:COMP_POINT}
    IFS=$' \t\n' read -r -a words <<< "$line"
    index=${#words[@]}
    [[ $line == *[[:blank:]] ]] || index=$((index - 1))
    current=${words[index]-}
    [[ $current == -*=* ]] && current=${current#*=}

    # readline replaces only what stands behind the last colon.
    [[ $COMP_WORDBREAKS == *:* ]] && typed=${current%"${current##*:}"}

    COMPREPLY=()
    while IFS= read -r reply; do
        value=${reply#*,}
        case ${reply%%,*} in
            plain)
                # A value that goes on is not followed by a blank.
                [[ $value == *[:,=/] ]] && compopt -o nospace
                COMPREPLY+=("${value#"$typed"}")
                ;;
            dir | file)
                compopt -o filenames
                kind='directory'
                [[ $reply == file,* ]] && kind='file'
                while IFS= read -r value; do
                    COMPREPLY+=("${value#"$typed"}")
                done < <(compgen -A "$kind" -- "$current")
                ;;
        esac
    done < <(env COMP_WORDS="$line" COMP_CWORD="$index" _VFIOCTL_COMPLETE=bash_complete "$1" 2>/dev/null)
    return 0
}

complete -o nosort -F _vfioctl_completion vfioctl
