"""The completion scripts of bash, zsh and fish, which ask the program itself for every value.

They are Click's own in what they ask and how it answers, but not in what they make of it: there a colon
ends a word (bash) and a comma ends a value (fish), and PCI addresses and selectors are full of both; an
option's name is lost before ``=`` (zsh); and what the program says on stderr lands in the prompt.
"""

from __future__ import annotations

from typing import Final

_BASH: Final = """\
# bash completion for vfioctl (needs bash 4.4 or newer)

_vfioctl_completion() {
    local line current typed='' index reply value kind
    local -a words

    # COMP_WORDS is cut at every colon of a PCI address, so the line itself is split, at blanks.
    line=${COMP_LINE:0:COMP_POINT}
    IFS=$' \\t\\n' read -r -a words <<< "$line"
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
"""

_ZSH: Final = """\
#compdef vfioctl

_vfioctl_completion() {
    local kind value description option=''
    local -a response plain plain_open described described_open

    (( $+commands[vfioctl] )) || return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        _VFIOCTL_COMPLETE=zsh_complete vfioctl 2>/dev/null)}")
    # The replies to --option=value are values, and take the place of the whole word.
    [[ $PREFIX == -*=* ]] && option=${PREFIX%%=*}=

    for kind value description in "${response[@]}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                value=$option$value
                # A value that goes on (open) is not followed by a blank; "_" is no description.
                case $description:$value in
                    _:*[:,=/]) plain_open+=("$value") ;;
                    _:*) plain+=("$value") ;;
                    *[:,=/]) described_open+=("$value:$description") ;;
                    *) described+=("$value:$description") ;;
                esac
                ;;
        esac
    done

    (( $#described )) && _describe -V unsorted described -U
    (( $#described_open )) && _describe -V unsorted described_open -U -S ''
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#plain_open )) && compadd -U -V unsorted -S '' -a plain_open
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # Found through fpath.
    _vfioctl_completion "$@"
else
    compdef _vfioctl_completion vfioctl
fi
"""

_FISH: Final = """\
# fish completion for vfioctl

function _vfioctl_completion
    set -l response (env _VFIOCTL_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) \\
        COMP_CWORD=(commandline -ct) vfioctl 2>/dev/null)

    # The replies to --option=value are values, and take the place of the whole word.
    set -l option (string match -r -- '^-[^=]*=' (commandline -ct))

    for reply in $response
        # Only the first comma ends the kind; the value may hold more.
        set -l parts (string split -m 1 "," -- $reply)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                printf '%s\\n' "$option$parts[2]"
        end
    end
end

complete --no-files --command vfioctl --arguments "(_vfioctl_completion)"
"""


_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

SHELLS: Final = tuple(_SCRIPTS)
"""The shells a script exists for."""


def completion_script(shell: str) -> str:
    """Return the completion script for one of `SHELLS`."""
    return _SCRIPTS[shell]
