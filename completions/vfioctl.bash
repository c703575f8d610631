# bash completion for vfioctl (needs bash 4.4 or newer)

_vfioctl_completion() {
    local line current index reply value
    local -a words

    # COMP_WORDS is cut at every colon of a PCI address, so the line itself is split, at blanks.
    line=${COMP_LINE:0:COMP_POINT}
    IFS=$' \t\n' read -r -a words <<< "$line"
    index=${#words[@]}
    [[ $line == *[[:blank:]] ]] || index=$((index - 1))
    current=${words[index]-}
    [[ $current == -*=* ]] && current=${current#*=}

    COMPREPLY=()
    while IFS= read -r reply; do
        value=${reply#*,}
        case ${reply%%,*} in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                # A value that goes on is not followed by a blank.
                [[ $value == *[:,=/] ]] && compopt -o nospace
                # readline replaces only what stands behind the last colon.
                if [[ $COMP_WORDBREAKS == *:* ]]; then
                    value=${value#"${current%"${current##*:}"}"}
                fi
                COMPREPLY+=("$value")
                ;;
        esac
    done < <(env COMP_WORDS="$line" COMP_CWORD="$index" _VFIOCTL_COMPLETE=bash_complete "$1" 2>/dev/null)
    return 0
}

complete -o nosort -F _vfioctl_completion vfioctl
