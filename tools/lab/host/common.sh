# Read by the customize scripts of both hosts; $root is the new root.
chroot "$root" python3 -m compileall -q /usr/lib/corral/site
ln -s /bin/busybox "$root/usr/lib/corral/init"
ln -s /bin/busybox "$root/usr/lib/corral/poweroff"
cp "$root"/boot/vmlinuz-* "$root/corral/vmlinuz"
rm -rf "$root"/usr/lib/python3*/test "$root"/var/log/*.log "$root"/var/log/apt
: > "$root/etc/fstab"
# The only files with capabilities, which mke2fs can't copy under fakeroot.
rm -f "$root"/usr/lib/*/gstreamer1.0/gstreamer-1.0/gst-ptp-helper
