"""The completion scripts of bash, zsh and fish, which ask the program itself for every value.

Click's own scripts take a colon for the end of a word (bash) and a comma for the end of a value
(fish); PCI addresses are full of colons and selectors of both. Its zsh script is right as it is.
"""

from __future__ import annotations

from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")
"""The shells a script exists for."""

PROGRAM: Final = "vfioctl"
"""The name the scripts complete."""

_VARIABLE: Final = "_VFIOCTL_COMPLETE"

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

_FISH: Final = """\
# fish completion for vfioctl

function _vfioctl_completion
    set -l response (env _VFIOCTL_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) \\
        COMP_CWORD=(commandline -ct) vfioctl 2>/dev/null)

    for reply in $response
        # Only the first comma ends the kind; the value may hold more.
        set -l parts (string split -m 1 "," -- $reply)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end

complete --no-files --command vfioctl --arguments "(_vfioctl_completion)"
"""


def completion_script(shell: str) -> str:
    """Return the completion script for one of `SHELLS`."""
    if shell == "bash":
        return _BASH
    if shell == "fish":
        return _FISH
    return _zsh()


def _zsh() -> str:
    """Return Click's own zsh script, filled in without running a shell."""
    import click
    from click.shell_completion import ZshComplete

    shell = ZshComplete(click.Command(PROGRAM), {}, PROGRAM, _VARIABLE)
    return shell.source()
