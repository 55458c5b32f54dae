# Runs inside mmdebstrap once the packages are installed; $1 is the new root.
set -eu
root=$1

# The kernel is handed to the machine from outside, so none is installed as a package: an upgrade inside the guest could
# only take away the modules of the one that runs. /corral is read and left out when the disk is made.
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "$root/corral"
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p')
apt-get -q -o APT::Sandbox::User=root download "$kernel" busybox-static e2fsck-static
for package in *.deb; do
    dpkg-deb -f "$package" Package Version Architecture | sed 's/^[^:]*: //' | paste -sd' '
done > downloaded
dpkg-deb -x linux-image-*.deb kernel
dpkg-deb -x busybox-static*.deb busybox
dpkg-deb -x e2fsck-static*.deb e2fsck
rm -- *.deb
mv kernel/lib/modules "$root/usr/lib/modules"
release=$(ls "$root/usr/lib/modules")
chroot "$root" depmod "$release"
mv "kernel/boot/vmlinuz-$release" vmlinuz
echo "$release" > release
chroot "$root" dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' > installed

cd "$root/etc/systemd/system"
units() { chroot "$root" systemctl "$@"; }
units -q enable qemu-guest-agent qemu-guest-agent-vsock corral-grow corral-ssh-keys systemd-networkd
# Debian has sysinit.target wait for the resolver, and D-Bus, logind and all services for that: five seconds when
# emulated. Here only who asks for nss-lookup.target does.
sed '/^Before=/s/sysinit.target network.target //; s/^WantedBy=.*/WantedBy=multi-user.target/' \
    "$root/lib/systemd/system/systemd-resolved.service" > systemd-resolved.service
units -q reenable systemd-resolved
# A machine that was just made must not lock apt behind its user's back.
units -q disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap getty@tty1 systemd-pstore
units -q mask systemd-firstboot systemd-repart systemd-pcrphase systemd-pcrphase-sysinit systemd-network-generator \
    sys-kernel-debug.mount sys-kernel-tracing.mount
# Users and groups of the packages are there already: no need to look at boot.
touch "$root/etc/.updated"
# What can't be found on this disk needn't be looked for at every boot.
mkdir -p "$root/etc/systemd/system-generators"
for generator in cryptsetup gpt-auto hibernate-resume integritysetup rc-local veritysetup; do
    ln -s /dev/null "$root/etc/systemd/system-generators/systemd-$generator-generator"
done

# Each machine makes its own of these.
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/systemd/random-seed" "$root/var/lib/dbus/machine-id"
: > "$root/etc/machine-id"
ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
# What differs from one build to the next, and is made again when wanted.
rm -rf "$root"/var/log/*.log "$root"/var/log/apt/* "$root/var/cache/ldconfig/aux-cache" "$root"/var/cache/debconf/*-old \
    "$root"/var/lib/dpkg/*-old
