# Runs inside mmdebstrap once the packages are installed; $1 is the new root.
set -eu
root=$1

# What the guests of both hosts are made of: build.py takes it out of the root again.
mkdir -p "$root/corral"
release=$(cd "$root/lib/modules" && ls -d *[0-9]-amd64)
echo "$release" > "$root/corral/release"
mv "$root/boot/vmlinuz-$release" "$root/corral/guest-kernel"
mv "$root/lib/modules/$release" "$root/corral/modules"
. "$root/corral/common.sh"
guest=$root/corral/guest
libraries=/usr/lib/x86_64-linux-gnu
mkdir -p "$guest"
# busybox has a find that can't -printf, a head that can't -z, and a shell that knows no others.
programs='/usr/sbin/qemu-ga /usr/bin/find /usr/bin/head /bin/dash'
# The last two Guest Additions load when they need them: to check a password, and to end a thread.
for file in $programs $(chroot "$root" ldd $programs | grep -v ':$' | grep -o '/[^ ]*') \
    $libraries/libcrypt.so.1 $libraries/libgcc_s.so.1; do
    mkdir -p "$guest${file%/*}"
    cp -L "$root$file" "$guest$file"
done
mv "$guest/bin/dash" "$guest/bin/sh"
cp "$guest$libraries/libcrypt.so.1" "$guest$libraries/libcrypt.so"
cp "$root/bin/busybox" "$root/corral/busybox"
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/corral/boot.img"
chroot "$root" grub-mkimage -O i386-pc -o /corral/core.img -p '(hd0)' -c /corral/grub.cfg \
    biosdisk configfile linux normal serial terminal
