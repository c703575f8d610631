# fish completion for vfioctl

function _vfioctl_completion
    set -l response (env _VFIOCTL_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) \
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
                printf '%s\n' "$option$parts[2]"
        end
    end
end

complete --no-files --command vfioctl --arguments "(_vfioctl_completion)"
