# Runs inside mmdebstrap once the packages are installed; $1 is the new root.
set -eu
root=$1
. "$root/corral/common.sh"

# dkms built them for the kernel of this root: without them the whole host is of no use.
ls "$root"/lib/modules/*/updates/dkms/vboxdrv.ko* > /dev/null
# What it took to build them is most of the disk.
rm -rf "$root"/usr/src/* "$root"/var/lib/dkms "$root"/usr/libexec/gcc "$root"/usr/lib/gcc "$root"/usr/include
find "$root/usr/lib/x86_64-linux-gnu" \( -name '*.a' -o -name 'libLLVM*' -o -name 'libgallium*' \) -delete
