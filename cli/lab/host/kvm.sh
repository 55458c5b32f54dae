# Runs inside mmdebstrap once the packages are installed; $1 is the new root.
set -eu
root=$1
. "$root/corral/common.sh"

# What the guests of both hosts are made of: build.py takes it out of the root again.
guest=$root/corral/guest
mkdir -p "$guest"
for file in /usr/sbin/qemu-ga $(chroot "$root" ldd /usr/sbin/qemu-ga | grep -o '/[^ ]*'); do
    mkdir -p "$guest${file%/*}"
    cp -L "$root$file" "$guest$file"
done
basename "$root"/lib/modules/* > "$root/corral/release"
cp "$root/bin/busybox" "$root/corral/busybox"
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/corral/boot.img"
chroot "$root" grub-mkimage -O i386-pc -o /corral/core.img -p '(hd0)' -c /corral/grub.cfg \
    biosdisk configfile linux normal serial terminal
