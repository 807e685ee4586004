# SPDX-License-Identifier: MIT
"""places.py - an ext4, xfs, btrfs, tmpfs or overlayfs of our own to put a tree on.

Everything is mounted in a mount namespace of this process, so nothing of it outlives the process, however it
ends. Images are sparse files below the directory given.
"""
import ctypes, os, shutil, subprocess

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)

IMAGES = {  # mkfs, size of the image in MiB
    "ext4": (["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1"], 512),
    "xfs": (["mkfs.xfs", "-q", "-f"], 512),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], 512),
}
NAMES = ["ext4", "tmpfs", "xfs", "btrfs", "overlay"]


def own_namespace():
    """False when we may not have one."""
    if libc.unshare(CLONE_NEWNS):
        return False
    return not libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)


def command(*args):
    """None, or what it complained about."""
    if not shutil.which(args[0]):
        return f"{args[0]} is not installed"
    r = subprocess.run(args, capture_output=True, text=True)
    return None if r.returncode == 0 else f"{args[0]}: {r.stderr.strip()[-200:] or r.returncode}"


def mount_image(kind, where, at):
    mkfs, mib = IMAGES[kind]
    image = f"{where}/{kind}.img"
    with open(image, "wb") as f:
        f.truncate(mib << 20)
    return command(*mkfs, image) or command("mount", "-t", kind, "-o", "loop", image, at)


def mount_overlay(where, at, lower):
    """@lower fills the lower layer. Layers on a tmpfs: what hosts them does not matter to overlayfs."""
    layers = f"{where}/layers"
    os.mkdir(layers)
    why = command("mount", "-t", "tmpfs", "-o", "size=512m", "layers", layers)
    if why:
        return why
    for d in ("lower", "upper", "work"):
        os.mkdir(f"{layers}/{d}")
    lower(f"{layers}/lower")
    # Without redirect_dir a directory of the lower layer cannot be renamed.
    return command("mount", "-t", "overlay", "overlay", "-o", f"redirect_dir=on,lowerdir={layers}/lower,"
                   f"upperdir={layers}/upper,workdir={layers}/work", at)


def mounted(kind, where, fill):
    """Mount a @kind at @where/at after which fill(at) has been done. Return: (at, None) or (None, why not)."""
    at = f"{where}/at"
    os.mkdir(at)
    if kind == "overlay":
        why = mount_overlay(where, at, fill)
    elif kind == "tmpfs":
        why = command("mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", at)
    else:
        why = mount_image(kind, where, at)
    if why:
        return None, why
    if kind != "overlay":
        fill(at)
    return at, None


def unmounted(where):
    """Before its files can be removed."""
    for d in ("at", "layers"):
        if os.path.ismount(f"{where}/{d}"):
            subprocess.run(["umount", "-l", f"{where}/{d}"])
