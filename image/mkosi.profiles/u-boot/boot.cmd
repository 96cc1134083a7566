# Run by U-Boot: starts the version on trial while it has tries, else the good one, else the one before.
#
# A try is taken off on the drive before the version is started. What cannot be counted is not tried. A unified kernel
# image that is not there, or not what it was when it was noted down, is passed over; so is one that is no program, from
# which `bootefi` comes back. holdfast_image/guest/u_boot.py writes the other end.
setenv from "${devtype} ${devnum}:${distro_bootpart}"
for name in trial trial_crc good good_crc before before_crc tries tries_of; do setenv ${name}; done
# Without a size bootefi takes what was loaded last, and the image learns which drive it comes from.
setenv check 'if test -n "${crc}"; then crc32 ${ramdisk_addr_r} ${filesize} ${scriptaddr}; itest.l *${scriptaddr} == ${crc}; else true; fi'
setenv start 'if test -n "${chosen}" && load ${from} ${ramdisk_addr_r} EFI/Linux/holdfast_${chosen}.efi; then if run check; then echo "Holdfast: starting ${chosen}"; bootefi ${ramdisk_addr_r}; else echo "Holdfast: ${chosen} is damaged"; fi; else echo "Holdfast: there is no ${chosen}"; fi'

# FAT does not replace a file in one step: after a power cut there may be only the new one, under the name it had before.
for file in versions.env versions.env.partial; do
    if test -z "${good}" && load ${from} ${scriptaddr} EFI/holdfast/${file}; then
        env import -t ${scriptaddr} ${filesize} trial trial_crc good good_crc before before_crc
    fi
done
if test -n "${trial}"; then
    if load ${from} ${scriptaddr} EFI/holdfast/tries.env; then
        env import -t ${scriptaddr} ${filesize} tries tries_of
    fi
    if test "${tries_of}" = "${trial}" && test "${tries}" -gt 0; then
        setexpr tries ${tries} - 1
        # The size is that of the file, in hexadecimal: it is written in place, and no cluster changes hands.
        if env export -t -s 200 ${scriptaddr} tries tries_of && fatwrite ${from} ${scriptaddr} EFI/holdfast/tries.env 200; then
            echo "Holdfast: on trial, ${tries} tries left after this one"
            setenv chosen ${trial}
            setenv crc ${trial_crc}
            run start
        else
            echo "Holdfast: tries cannot be counted, so ${trial} is not tried"
        fi
    fi
fi
setenv chosen ${good}
setenv crc ${good_crc}
run start
setenv chosen ${before}
setenv crc ${before_crc}
run start
echo "Holdfast: no version can be started; trying again"
sleep 10
reset
