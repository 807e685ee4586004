# SPDX-License-Identifier: MIT
"""mutations.py - every kind of change a directory can see, by name (W3, W12, DESIGN 2.3).

MUTATIONS maps a name to a function of a directory of its own that seed() has filled. A generator stops where what
was done so far is to be acknowledged first. Next to the tree stands OUT, outside of it and on the same file system.
What a file system cannot do raises Lacks.
"""
import ctypes, errno, mmap, os, shutil, sqlite3, subprocess

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
NOREPLACE, EXCHANGE = 1, 2
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
HELPERS = os.environ.get("SPATE_HELPERS", os.path.join(os.path.dirname(os.environ.get("SPATE", "")), "tests", "lib"))
GIT = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
       "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}

MUTATIONS = {}
CALM = set()  # those nobody else may write into: tools that check what they wrote

DEEP = set()  # those that are done last and not begun before: all walks take longer with them

# What no event tells, on which file systems ("" is all of them), and why: enabled by taking it out of here.
UNSEEN = {
    "mmap_store": ("overlay", "a store through a mapping gives no event: only an audit finds it"),
    "mmap_store_after_msync_and_read": ("overlay", "a store through a mapping gives no event: only an audit finds it"),
    "mmap_outlives_its_descriptor": ("overlay", "a store through a mapping gives no event: only an audit finds it"),
}


class Lacks(Exception):
    """The file system or the machine cannot do it; the text says what was tried and the errno."""


def mutation(f):
    MUTATIONS[f.__name__] = f
    return f


def calm(f):
    CALM.add(f.__name__)
    return mutation(f)


def deep(f):
    DEEP.add(f.__name__)
    return mutation(f)


# --- hands --------------------------------------------------------------------------------------

def write(path, data=b"x", mode="wb"):
    with open(path, mode) as f:
        f.write(data)


def seed(t):
    """What every mutation finds."""
    os.makedirs(f"{t}/a/b/c")
    os.makedirs(f"{t}/p/q")
    for i in range(3):
        write(f"{t}/a/f{i}", b"a%d" % i)
    write(f"{t}/a/b/g", b"b" * 5000)
    write(f"{t}/a/b/c/deep", b"deep")
    write(f"{t}/p/q/h", b"q")
    os.symlink("a/f0", f"{t}/link")


def outside(t):
    """A place beside the tree that is @t's alone."""
    root, name = os.path.split(os.path.dirname(t))[0], os.path.basename(t)
    out = f"{root}/out/{name}"
    os.makedirs(out, exist_ok=True)
    return out


def lacking(what, code):
    raise Lacks(f"{what}: {errno.errorcode.get(code, code)}")


def renameat2(a, b, flags):
    if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags):
        code = ctypes.get_errno()
        if code in (errno.EINVAL, errno.ENOSYS):
            lacking("renameat2", code)
        raise OSError(code, os.strerror(code), a)


def fallocate(path, mode, offset, length):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
            code = ctypes.get_errno()
            if code in (errno.EOPNOTSUPP, errno.ENOSYS):
                lacking(f"fallocate mode {mode}", code)
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(fd)


def linkat(fd, path):
    if libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, os.fsencode(path), 0x400):
        raise OSError(ctypes.get_errno(), "linkat", path)


def tool(*args, cwd=None, env=None):
    if not shutil.which(args[0]):
        raise Lacks(f"{args[0]}: ENOENT")
    r = subprocess.run(args, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if r.returncode:
        raise RuntimeError(f"{' '.join(args)}: {r.returncode} {r.stderr[-300:]}")


def swap(a, b):
    os.rename(a, a + ".tmp")
    os.rename(b, a)
    os.rename(a + ".tmp", b)


def deep_tree(t, name, total):
    """Directories one in the other until the path of a leaf below the tree has @total bytes."""
    used = len(os.fsencode(f"{os.path.basename(os.path.dirname(t))}/{os.path.basename(t)}"))
    fd = os.open(t, os.O_RDONLY | os.O_DIRECTORY)
    while total - used > 300:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd, used = below, used + 1 + len(name)
    leaf = "l" * min(total - used - 1, 255)
    out = os.open(leaf, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd)
    os.write(out, b"leaf")
    os.close(out)
    return fd, leaf


# --- contents -----------------------------------------------------------------------------------

@mutation
def create(t):
    write(f"{t}/new", b"new")


@mutation
def create_empty(t):
    write(f"{t}/empty", b"")


@mutation
def overwrite(t):
    write(f"{t}/a/f0", b"something else")


@mutation
def overwrite_of_the_same_size(t):
    write(f"{t}/a/f0", b"xy")


@mutation
def overwrite_with_the_same_bytes(t):
    write(f"{t}/a/f0", b"a0")


@mutation
def overwrite_with_the_old_times(t):
    st = os.stat(f"{t}/a/f0")
    write(f"{t}/a/f0", b"zz", "r+b")
    os.utime(f"{t}/a/f0", ns=(st.st_atime_ns, st.st_mtime_ns))


@mutation
def append(t):
    for _ in range(5):
        write(f"{t}/a/f1", b"more", "ab")


@mutation
def truncate_shorter(t):
    os.truncate(f"{t}/a/b/g", 10)


@mutation
def truncate_longer(t):
    os.truncate(f"{t}/a/b/g", 300000)


@mutation
def truncate_to_zero(t):
    os.truncate(f"{t}/a/b/g", 0)


@mutation
def write_in_the_middle_of_a_large_file(t):
    write(f"{t}/large", bytes(range(256)) * 10240)
    yield
    with open(f"{t}/large", "r+b") as f:
        f.seek(1500000)
        f.write(b"middle")


@mutation
def large_file_grown_and_shrunk(t):
    write(f"{t}/large", b"0123456789" * 130000)
    yield
    write(f"{t}/large", b"tail" * 100, "ab")
    yield
    os.truncate(f"{t}/large", 1 << 20)


@mutation
def written_while_open_and_never_closed(t):
    f = open(f"{t}/held", "wb", buffering=0)
    f.write(b"first")
    yield
    f.write(b"second")
    yield
    os.unlink(f"{t}/held")
    f.write(b"to nobody")
    yield
    f.close()


@mutation
def written_after_it_was_renamed(t):
    with open(f"{t}/a/f0", "r+b", buffering=0) as f:
        os.rename(f"{t}/a/f0", f"{t}/p/q/f0")
        f.write(b"under the new name")


@mutation
def copy_file_range(t):
    with open(f"{t}/a/b/g", "rb") as a, open(f"{t}/copied", "wb") as b:
        try:
            os.copy_file_range(a.fileno(), b.fileno(), 5000)
        except OSError as e:
            lacking("copy_file_range", e.errno)


@mutation
def sendfile(t):
    with open(f"{t}/a/b/g", "rb") as a, open(f"{t}/sent", "wb") as b:
        os.sendfile(b.fileno(), a.fileno(), 0, 5000)


@mutation
def reflink(t):
    import fcntl
    with open(f"{t}/a/b/g", "rb") as a, open(f"{t}/clone", "wb") as b:
        try:
            fcntl.ioctl(b.fileno(), 0x40049409, a.fileno())  # FICLONE
        except OSError as e:
            lacking("FICLONE", e.errno)


@mutation
def fallocate_punch(t):
    write(f"{t}/holes", b"h" * 65536)
    yield
    fallocate(f"{t}/holes", PUNCH | KEEP_SIZE, 8192, 16384)


@calm
def fallocate_collapse(t):
    write(f"{t}/holes", b"1" * 8192 + b"2" * 16384 + b"3" * 40960)
    yield
    fallocate(f"{t}/holes", COLLAPSE, 8192, 16384)


@calm
def fallocate_insert(t):
    write(f"{t}/holes", b"1" * 8192 + b"2" * 8192)
    yield
    fallocate(f"{t}/holes", INSERT, 8192, 4096)


@mutation
def fallocate_zero(t):
    write(f"{t}/holes", b"z" * 65536)
    yield
    fallocate(f"{t}/holes", ZERO, 4096, 8192)


@mutation
def preallocated(t):
    fallocate(f"{t}/longer", 0, 0, 100000)
    fallocate(f"{t}/a/f0", KEEP_SIZE, 0, 100000)


@mutation
def sparse(t):
    with open(f"{t}/sparse", "wb") as f:
        f.seek(6 << 20)
        f.write(b"end")
    yield
    with open(f"{t}/sparse", "r+b") as f:
        f.seek(3 << 20)
        f.write(b"island")


@mutation
def mmap_store(t):
    write(f"{t}/mapped", b"m" * 8192)
    yield
    with open(f"{t}/mapped", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
        m[100:105] = b"STORE"


@mutation
def mmap_store_after_msync_and_read(t):
    write(f"{t}/mapped", b"m" * 8192)
    yield
    f = open(f"{t}/mapped", "r+b")
    m = mmap.mmap(f.fileno(), 0)
    m[0:5] = b"FIRST"
    m.flush()
    open(f"{t}/mapped", "rb").read()
    m[0:6] = b"SECOND"
    m.close()
    f.close()


@mutation
def mmap_outlives_its_descriptor(t):
    write(f"{t}/mapped", b"m" * 8192)
    f = open(f"{t}/mapped", "r+b")
    m = mmap.mmap(f.fileno(), 0)
    f.close()
    m[0:5] = b"FIRST"
    m.flush()
    yield
    m[4096:4102] = b"SECOND"
    m.close()


@mutation
def io_uring_writer(t):
    helper = f"{HELPERS}/uring_write"
    if not os.path.exists(helper):
        raise Lacks(f"{helper}: ENOENT")
    r = subprocess.run([helper, f"{t}/a/f0", f"{t}/ring"], capture_output=True, text=True)
    if r.returncode == 77:
        raise Lacks(r.stderr.strip())
    if r.returncode:
        raise RuntimeError(r.stderr)


@mutation
def o_tmpfile_and_linkat(t):
    try:
        fd = os.open(f"{t}/a", os.O_TMPFILE | os.O_WRONLY, 0o644)
    except OSError as e:
        lacking("O_TMPFILE", e.errno)
    os.write(fd, b"before")
    linkat(fd, f"{t}/a/linked")
    yield
    os.write(fd, b" and after")  # its events go on naming what it was before
    os.close(fd)


@mutation
def many_sizes(t):
    for n in (0, 1, 32767, 32768, 32769, (1 << 20) - 1, 1 << 20, (1 << 20) + 1):
        write(f"{t}/size{n}", os.urandom(n))


# --- metadata -----------------------------------------------------------------------------------

@mutation
def chmod_of_a_file(t):
    os.chmod(f"{t}/a/f0", 0o755)


@mutation
def chmod_of_a_directory(t):
    os.chmod(f"{t}/p/q", 0o700)


@mutation
def chmod_to_nothing_at_all(t):
    os.chmod(f"{t}/a/f0", 0)
    write(f"{t}/a/f1", b"unreadable to all but root")
    os.chmod(f"{t}/a/f1", 0)
    os.chmod(f"{t}/p/q", 0)


@mutation
def setuid_setgid_and_sticky(t):
    os.chmod(f"{t}/a/f0", 0o4711)
    os.chmod(f"{t}/a/f1", 0o2755)
    os.chmod(f"{t}/a/f2", 0o1644)
    os.chmod(f"{t}/p", 0o1777)
    os.chmod(f"{t}/p/q", 0o2775)


@mutation
def touch(t):
    os.utime(f"{t}/a/f0")
    os.utime(f"{t}/a/b")


@mutation
def old_times(t):
    os.utime(f"{t}/a/f0", ns=(1, 1234567890123456789))
    os.utime(f"{t}/a/f1", ns=(1, 0))


@mutation
def future_times(t):
    os.utime(f"{t}/a/f0", ns=(1, 2145916800_000000001))


@mutation
def times_before_1970(t):
    os.utime(f"{t}/a/f0", ns=(1, -1_500_000_000))
    if os.stat(f"{t}/a/f0").st_mtime_ns != -1_500_000_000:
        raise Lacks("utimensat before 1970: EINVAL")


@mutation
def touch_of_a_symlink(t):
    os.utime(f"{t}/link", ns=(5, 1111111111_222222222), follow_symlinks=False)


@mutation
def unlinked(t):
    os.unlink(f"{t}/a/f0")


@mutation
def rm_r(t):
    shutil.rmtree(f"{t}/a")


@mutation
def rm_r_and_made_again(t):
    shutil.rmtree(f"{t}/a")
    os.makedirs(f"{t}/a/b")
    write(f"{t}/a/b/g", b"again")


@mutation
def empty_directories(t):
    os.mkdir(f"{t}/empty")
    os.makedirs(f"{t}/e1/e2/e3")


@mutation
def fifo_and_socket_are_left_out(t):
    os.unlink(f"{t}/a/f0")
    os.mkfifo(f"{t}/a/f0")
    import socket
    os.mkfifo(f"{t}/fifo")
    s = socket.socket(socket.AF_UNIX)
    here = os.open(t, os.O_RDONLY)
    s.bind(f"/proc/self/fd/{here}/sock")
    s.close()
    os.close(here)


# --- links --------------------------------------------------------------------------------------

@mutation
def symlink_made(t):
    os.symlink("a/f1", f"{t}/s1")


@mutation
def symlink_dangling(t):
    os.symlink("no/where", f"{t}/s1")
    os.symlink("/absolute/no/where", f"{t}/s2")
    os.symlink("s3", f"{t}/s3")


@mutation
def symlink_to_a_directory(t):
    os.symlink("a", f"{t}/s1")
    os.symlink("..", f"{t}/a/b/up")


@mutation
def symlink_retargeted(t):
    os.unlink(f"{t}/link")
    os.symlink("a/f1", f"{t}/link")
    yield
    os.symlink("a/f2", f"{t}/link2")
    os.rename(f"{t}/link2", f"{t}/link")


@mutation
def symlink_with_a_long_target(t):
    os.symlink("/".join(["t" * 100] * 9), f"{t}/s1")
    try:
        os.symlink("/".join(["t" * 99] * 40), f"{t}/s2")
    except OSError as e:
        if e.errno != errno.ENAMETOOLONG:
            raise


@mutation
def file_replaced_by_a_symlink_and_back(t):
    os.unlink(f"{t}/a/f0")
    os.symlink("f1", f"{t}/a/f0")
    yield
    os.unlink(f"{t}/a/f0")
    write(f"{t}/a/f0", b"a file again")


@mutation
def directory_replaced_by_a_file_and_back(t):
    shutil.rmtree(f"{t}/a")
    write(f"{t}/a", b"now a file")
    yield
    os.unlink(f"{t}/a")
    os.makedirs(f"{t}/a/b")
    write(f"{t}/a/b/g", b"a directory again")


@mutation
def directory_replaced_by_a_file_and_back_at_once(t):
    os.rename(f"{t}/a", f"{t}/kept")
    write(f"{t}/a", b"for a moment")
    os.unlink(f"{t}/a")
    os.rename(f"{t}/kept", f"{t}/a")


@mutation
def directory_replaced_by_a_symlink_and_back(t):
    os.rename(f"{t}/a", f"{t}/real")
    os.symlink("real", f"{t}/a")
    yield
    os.unlink(f"{t}/a")
    os.rename(f"{t}/real", f"{t}/a")


@calm
def hard_link(t):
    os.link(f"{t}/a/f0", f"{t}/p/q/f0")


@mutation
def written_through_another_hard_link(t):
    os.link(f"{t}/a/f0", f"{t}/p/q/f0")
    os.link(f"{t}/a/f0", f"{t}/third")
    yield
    write(f"{t}/p/q/f0", b"seen under all names", "r+b")


@mutation
def metadata_through_another_hard_link(t):
    os.link(f"{t}/a/f0", f"{t}/p/q/f0")
    yield
    os.chmod(f"{t}/p/q/f0", 0o711)
    os.utime(f"{t}/p/q/f0", ns=(1, 1000000000_000000001))


@mutation
def one_hard_link_of_two_removed_or_moved(t):
    os.link(f"{t}/a/f0", f"{t}/p/q/f0")
    os.link(f"{t}/a/f1", f"{t}/p/q/f1")
    yield
    os.unlink(f"{t}/a/f0")
    os.rename(f"{t}/a/f1", f"{t}/a/b/f1")
    yield
    write(f"{t}/p/q/f1", b"through the one that stayed", "r+b")


@mutation
def many_hard_links(t):
    for i in range(200):
        os.link(f"{t}/a/f0", f"{t}/a/b/l{i}")
    yield
    write(f"{t}/a/b/l100", b"two hundred and one", "r+b")


# --- names --------------------------------------------------------------------------------------

@mutation
def odd_names(t):
    for name in (b"-dash", b"sp ace", b" lead", b"new\nline", b"quo'te\"", b"*?[", b"\\", b"%41", b"\x01\x7f", b"...",
                 b"#12345", b"~", b"$(x)", "ü–名".encode()):
        write(os.fsencode(t) + b"/" + name, name)
        os.mkdir(os.fsencode(t) + b"/p/" + name)
        write(os.fsencode(t) + b"/p/" + name + b"/" + name, name)


@mutation
def names_that_are_not_utf8(t):
    for name in (b"\xff\xfe\x80", b"caf\xe9", b"\xed\xa0\x80"):
        try:
            write(os.fsencode(t) + b"/" + name, name)
        except OSError as e:
            lacking("a name that is not UTF-8", e.errno)
    os.symlink(b"\xff\xfe", os.fsencode(t) + b"/\xc3link")
    yield
    os.rename(os.fsencode(t) + b"/\xff\xfe\x80", os.fsencode(t) + b"/\xfe")


@mutation
def names_of_255_bytes(t):
    write(f"{t}/{'n' * 255}", b"long")
    os.mkdir(f"{t}/{'d' * 255}")
    write(f"{t}/{'d' * 255}/{'n' * 255}", b"long")
    yield
    os.rename(f"{t}/{'d' * 255}", f"{t}/{'e' * 255}")


@mutation
def names_that_differ_in_case(t):
    for name in ("Readme", "README", "readme"):
        write(f"{t}/{name}", name.encode())
    os.mkdir(f"{t}/A")
    write(f"{t}/A/f0", b"not the one in a")
    yield
    os.rename(f"{t}/readme", f"{t}/ReadMe")


@mutation
def names_in_two_normal_forms(t):
    write(f"{t}/caf\u00e9", b"composed")
    write(f"{t}/cafe\u0301", b"decomposed")


# --- renames ------------------------------------------------------------------------------------

@mutation
def rename_within_a_directory(t):
    os.rename(f"{t}/a/f0", f"{t}/a/renamed")


@mutation
def rename_to_another_directory(t):
    os.rename(f"{t}/a/f0", f"{t}/p/q/f0")


@mutation
def rename_of_a_file_into_the_tree(t):
    write(f"{outside(t)}/f", b"from outside")
    os.rename(f"{outside(t)}/f", f"{t}/a/in")


@mutation
def rename_of_a_file_out_of_the_tree(t):
    os.rename(f"{t}/a/f0", f"{outside(t)}/f0")


@mutation
def rename_over_a_file(t):
    os.rename(f"{t}/a/f0", f"{t}/a/f1")


@mutation
def rename_from_outside_over_a_file(t):
    write(f"{outside(t)}/f", b"from outside")
    os.rename(f"{outside(t)}/f", f"{t}/a/f1")


@mutation
def rename_over_a_symlink(t):
    os.rename(f"{t}/a/f0", f"{t}/link")


@mutation
def rename_of_a_symlink(t):
    os.rename(f"{t}/link", f"{t}/a/link")


@mutation
def rename_noreplace(t):
    renameat2(f"{t}/a/f0", f"{t}/a/free", NOREPLACE)
    try:
        renameat2(f"{t}/a/f1", f"{t}/a/f2", NOREPLACE)
    except OSError as e:
        if e.errno != errno.EEXIST:
            raise


@mutation
def chain_of_file_renames(t):
    os.rename(f"{t}/a/f0", f"{t}/a/x")
    os.rename(f"{t}/a/x", f"{t}/p/y")
    os.rename(f"{t}/p/y", f"{t}/p/q/z")
    write(f"{t}/a/x", b"another")


@mutation
def file_moved_and_made_again(t):
    os.rename(f"{t}/a/f0", f"{t}/a/f9")
    write(f"{t}/a/f0", b"new under the old name")


@mutation
def swap_of_files_by_a_temporary_name(t):
    swap(f"{t}/a/f0", f"{t}/a/b/g")


@mutation
def exchange_of_files(t):
    renameat2(f"{t}/a/f0", f"{t}/p/q/h", EXCHANGE)


@mutation
def exchange_of_file_and_symlink(t):
    renameat2(f"{t}/a/f0", f"{t}/link", EXCHANGE)


@mutation
def exchange_of_directories(t):
    renameat2(f"{t}/a", f"{t}/p", EXCHANGE)
    yield
    write(f"{t}/a/q/h", b"below what was p")
    write(f"{t}/p/b/g", b"below what was a")


@mutation
def exchange_of_directories_and_edits_at_once(t):
    renameat2(f"{t}/a", f"{t}/p", EXCHANGE)
    write(f"{t}/a/q/new", b"below what was p")
    write(f"{t}/p/f0", b"below what was a")


@mutation
def exchange_of_a_directory_and_a_file(t):
    renameat2(f"{t}/a/b", f"{t}/a/f0", EXCHANGE)
    yield
    write(f"{t}/a/f0/new", b"f0 is a directory now")


@mutation
def exchange_of_nested_directories(t):
    renameat2(f"{t}/a/b", f"{t}/p", EXCHANGE)
    yield
    renameat2(f"{t}/p/c", f"{t}/a", EXCHANGE)
    write(f"{t}/p/c/f0", b"a is p/c now")
    write(f"{t}/a/deep", b"c is a now")


@mutation
def exchange_twice(t):
    renameat2(f"{t}/a", f"{t}/p", EXCHANGE)
    write(f"{t}/a/between", b"in p for a moment")
    renameat2(f"{t}/a", f"{t}/p", EXCHANGE)


@mutation
def rename_of_a_directory(t):
    os.rename(f"{t}/a", f"{t}/a2")


@mutation
def rename_of_a_directory_and_writes_in_it(t):
    os.rename(f"{t}/a", f"{t}/a2")
    write(f"{t}/a2/b/c/now", b"at once")
    write(f"{t}/a2/f0", b"at once")
    yield
    write(f"{t}/a2/b/c/later", b"later")
    os.unlink(f"{t}/a2/f1")


@mutation
def rename_of_a_directory_into_another(t):
    os.rename(f"{t}/a", f"{t}/p/q/a")
    yield
    write(f"{t}/p/q/a/b/g", b"in its new place")


@mutation
def rename_of_a_directory_into_the_tree(t):
    seed(f"{outside(t)}/in")
    os.rename(f"{outside(t)}/in", f"{t}/in")
    yield
    write(f"{t}/in/a/b/g", b"watched by now")


@mutation
def rename_of_a_directory_out_of_the_tree(t):
    os.rename(f"{t}/a", f"{outside(t)}/a")
    write(f"{outside(t)}/a/f0", b"nobody's business")


@mutation
def directory_over_an_empty_directory(t):
    os.mkdir(f"{t}/target")
    yield
    os.rename(f"{t}/a/b", f"{t}/target")
    yield
    write(f"{t}/target/c/deep", b"watched under the new name")


@mutation
def directory_over_an_empty_directory_at_once(t):
    os.mkdir(f"{t}/target")
    os.rename(f"{t}/a/b", f"{t}/target")
    write(f"{t}/target/c/deep", b"at once")


@mutation
def mkdir_mv_mkdir(t):
    os.mkdir(f"{t}/x")
    os.rename(f"{t}/x", f"{t}/y")
    os.mkdir(f"{t}/x")
    yield
    write(f"{t}/x/in-x", b"x")
    write(f"{t}/y/in-y", b"y")


@mutation
def create_mv_create(t):
    write(f"{t}/x", b"first")
    os.rename(f"{t}/x", f"{t}/y")
    write(f"{t}/x", b"second")
    yield
    write(f"{t}/y", b"first again")


@mutation
def chain_of_directory_renames(t):
    os.rename(f"{t}/a", f"{t}/a1")
    os.rename(f"{t}/a1", f"{t}/a2")
    os.rename(f"{t}/a2", f"{t}/p/a3")
    yield
    write(f"{t}/p/a3/b/g", b"watched at its end")


@mutation
def chain_of_directories_one_after_the_other(t):
    for d in ("x", "y"):
        os.mkdir(f"{t}/{d}")
        write(f"{t}/{d}/is", d.encode())
    yield
    os.rename(f"{t}/y", f"{t}/z")
    os.rename(f"{t}/x", f"{t}/y")
    os.rename(f"{t}/a", f"{t}/x")
    yield
    for d in ("x", "y", "z"):
        write(f"{t}/{d}/named", d.encode())


@mutation
def swap_of_directories_by_a_temporary_name(t):
    swap(f"{t}/a", f"{t}/p")
    yield
    write(f"{t}/a/q/h", b"p was here")
    write(f"{t}/p/f0", b"a was here")


@mutation
def directory_moved_out_and_back(t):
    os.rename(f"{t}/a", f"{outside(t)}/a")
    write(f"{outside(t)}/a/b/away", b"written while away")
    os.rename(f"{outside(t)}/a", f"{t}/a")
    yield
    write(f"{t}/a/b/c/deep", b"watched again")


@mutation
def directory_moved_out_and_back_later(t):
    os.rename(f"{t}/a", f"{outside(t)}/a")
    yield
    write(f"{outside(t)}/a/b/away", b"written while away")
    os.unlink(f"{outside(t)}/a/f0")
    os.rename(f"{outside(t)}/a", f"{t}/a")
    yield
    write(f"{t}/a/b/c/deep", b"watched again")


@mutation
def directory_moved_out_and_another_in_its_place(t):
    seed(f"{outside(t)}/other")
    write(f"{outside(t)}/other/a/f0", b"of the other")
    os.unlink(f"{outside(t)}/other/a/f1")
    os.rename(f"{t}/a", f"{outside(t)}/gone")
    os.rename(f"{outside(t)}/other/a", f"{t}/a")
    yield
    write(f"{t}/a/b/g", b"the other is watched")


@mutation
def moves_out_of_a_moved_directory(t):
    os.rename(f"{t}/a", f"{t}/x")
    os.rename(f"{t}/x/b", f"{t}/p/b")
    os.rename(f"{t}/x/f0", f"{t}/f0")
    yield
    write(f"{t}/p/b/c/deep", b"in p")
    shutil.rmtree(f"{t}/x")


@mutation
def moves_out_of_a_directory_that_then_goes(t):
    os.rename(f"{t}/a/b", f"{t}/b")
    shutil.rmtree(f"{t}/a")
    yield
    write(f"{t}/b/c/deep", b"alive")


@mutation
def moved_into_a_directory_just_made(t):
    os.makedirs(f"{t}/n1/n2")
    os.rename(f"{t}/a", f"{t}/n1/n2/a")
    write(f"{t}/n1/n2/a/b/new", b"at once")


@mutation
def moved_and_put_below_its_old_name(t):
    os.rename(f"{t}/a", f"{t}/tmp")
    os.mkdir(f"{t}/a")
    os.rename(f"{t}/tmp", f"{t}/a/a")
    yield
    write(f"{t}/a/a/b/g", b"one level down")


@mutation
def parent_and_child_trade_places(t):
    os.rename(f"{t}/a/b", f"{t}/b")
    os.rename(f"{t}/a", f"{t}/b/a")
    yield
    write(f"{t}/b/a/f0", b"turned inside out")
    write(f"{t}/b/c/deep", b"turned inside out")


@mutation
def deep_move_then_edits_below(t):
    os.makedirs(f"{t}/l1/l2/l3/l4/l5")
    write(f"{t}/l1/l2/l3/l4/l5/f", b"deep")
    yield
    os.rename(f"{t}/l1/l2", f"{t}/p/l2")
    write(f"{t}/p/l2/l3/l4/l5/f", b"edited")
    os.mkdir(f"{t}/p/l2/l3/l4/l6")
    write(f"{t}/p/l2/l3/l4/l6/f", b"new")


@mutation
def moved_and_the_old_name_made_again(t):
    os.rename(f"{t}/a", f"{t}/moved")
    os.makedirs(f"{t}/a/b/c")
    write(f"{t}/a/f0", b"other contents")
    write(f"{t}/a/b/other", b"other names")
    yield
    write(f"{t}/moved/b/c/deep", b"old one")
    write(f"{t}/a/b/c/deep", b"new one")


@mutation
def directory_name_reused_with_the_same_inode(t):
    for i in range(5):
        os.mkdir(f"{t}/again")
        write(f"{t}/again/f{i}", b"%d" % i)
        if i < 4:
            shutil.rmtree(f"{t}/again")
    yield
    write(f"{t}/again/last", b"watched")


@mutation
def file_name_reused_with_the_same_inode(t):
    for i in range(5):
        os.unlink(f"{t}/a/f0")
        write(f"{t}/a/f0", b"%d" % i)


@mutation
def removed_directory_found_again_under_another_name(t):
    os.rename(f"{t}/a", f"{outside(t)}/a")
    yield
    os.rename(f"{outside(t)}/a", f"{t}/p/q/back")
    yield
    write(f"{t}/p/q/back/b/g", b"back")


# --- other writers ------------------------------------------------------------------------------

def other_writer(t, *prefix):
    os.chmod(t, 0o777)
    tool(*prefix, "sh", "-c", "mkdir -p other/sub && echo theirs >other/sub/f && echo x >>other/sub/f && mv other/sub/f g"
         " && ln -s g h", cwd=t)


@mutation
def writer_with_another_uid(t):
    other_writer(t, "setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups")


@mutation
def writer_in_another_pid_namespace(t):
    other_writer(t, "unshare", "-pf")


@mutation
def writer_in_another_mount_namespace(t):
    other_writer(t, "unshare", "-m")


@mutation
def writer_through_a_bind_mount_elsewhere(t):
    tool("unshare", "-m", "sh", "-c", 'mount --bind "$1/a" "$2" && echo bound >"$2/b/bound" && rm "$2/f0"', "sh", t,
         outside(t))


# --- what programs do ---------------------------------------------------------------------------

@mutation
def saved_by_rename(t):
    with open(f"{t}/a/.f0.tmp", "wb") as f:
        f.write(b"saved")
        f.flush()
        os.fsync(f.fileno())
    os.rename(f"{t}/a/.f0.tmp", f"{t}/a/f0")


@calm
def saved_by_vim(t):
    # One that writes by rename and one that writes in place, both with a backup file.
    for option, name in (("no", "f0"), ("yes", "f1")):
        tool("vim", "-Nes", "-u", "NONE", "-c", f"set backup backupcopy={option}", "-c", "normal Ovim was here", "-c",
             "wq", f"{t}/a/{name}")


@mutation
def saved_as_emacs_does(t):
    os.symlink("user@host.123:456", f"{t}/a/.#f0")
    write(f"{t}/a/#f0#", b"autosave")
    os.rename(f"{t}/a/f0", f"{t}/a/f0~")
    write(f"{t}/a/f0", b"saved")
    os.unlink(f"{t}/a/#f0#")
    os.unlink(f"{t}/a/.#f0")


@mutation
def saved_as_git_saves_its_index(t):
    write(f"{t}/a/index", b"one")
    yield
    fd = os.open(f"{t}/a/index.lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(fd, b"two")
    os.close(fd)
    os.rename(f"{t}/a/index.lock", f"{t}/a/index")


@calm
def sqlite_with_a_write_ahead_log(t):
    for round_ in range(2):
        db = sqlite3.connect(f"{t}/db")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE IF NOT EXISTS x(a, b)")
        with db:
            db.executemany("INSERT INTO x VALUES(?, ?)", [(i, "v" * 50) for i in range(300)])
        db.close()
        if not round_:
            yield


@mutation
def packages_swapped_as_npm_does(t):
    for name in ("one", "two"):
        os.makedirs(f"{t}/node_modules/{name}/lib")
        write(f"{t}/node_modules/{name}/lib/index.js", name.encode())
    yield
    for name in ("one", "two"):
        os.makedirs(f"{t}/node_modules/.{name}-xyz/lib")
        write(f"{t}/node_modules/.{name}-xyz/lib/index.js", b"newer " + name.encode())
        os.rename(f"{t}/node_modules/{name}", f"{t}/node_modules/.{name}-old")
        os.rename(f"{t}/node_modules/.{name}-xyz", f"{t}/node_modules/{name}")
        shutil.rmtree(f"{t}/node_modules/.{name}-old")
    yield
    write(f"{t}/node_modules/one/lib/index.js", b"edited")


@calm
def cp_a(t):
    tool("cp", "-a", f"{t}/a", f"{t}/copy")


@calm
def tar_x(t):
    tool("tar", "cf", f"{outside(t)}/x.tar", "-C", t, "a", "p", "link")
    os.mkdir(f"{t}/x")
    tool("tar", "xpf", f"{outside(t)}/x.tar", "-C", f"{t}/x")


@calm
def rsync_in_place(t):
    shutil.copytree(f"{t}/a", f"{outside(t)}/a", symlinks=True)
    write(f"{outside(t)}/a/b/g", b"b" * 2000 + b"new" + b"b" * 2000)
    write(f"{outside(t)}/a/b/added", b"added")
    os.unlink(f"{outside(t)}/a/f0")
    tool("rsync", "-a", "--inplace", "--no-whole-file", "--delete", "--checksum", f"{outside(t)}/a/", f"{t}/a/")


@calm
def rsync_by_rename(t):
    shutil.copytree(f"{t}/a", f"{outside(t)}/a", symlinks=True)
    write(f"{outside(t)}/a/b/g", b"other")
    tool("rsync", "-a", "--delete", "--delay-updates", f"{outside(t)}/a/", f"{t}/a/")


@calm
def git_branches_checked_out(t):
    tool("git", "init", "-q", "-b", "main", cwd=t, env=GIT)
    tool("git", "add", "-A", cwd=t, env=GIT)
    tool("git", "commit", "-qm", "one", cwd=t, env=GIT)
    tool("git", "checkout", "-qb", "other", cwd=t, env=GIT)
    tool("git", "mv", "a", "moved", cwd=t, env=GIT)
    write(f"{t}/moved/f0", b"other branch")
    os.unlink(f"{t}/p/q/h")
    tool("git", "add", "-A", cwd=t, env=GIT)
    tool("git", "commit", "-qm", "two", cwd=t, env=GIT)
    yield
    tool("git", "checkout", "-q", "main", cwd=t, env=GIT)
    yield
    tool("git", "checkout", "-q", "other", cwd=t, env=GIT)
    tool("git", "gc", "-q", cwd=t, env=GIT)


# --- many at once -------------------------------------------------------------------------------

@mutation
def mkdir_p_and_a_file_in_a_loop(t):
    for i in range(200):
        os.makedirs(f"{t}/loop/{i % 7}/{i}/c")
        write(f"{t}/loop/{i % 7}/{i}/c/f", b"%d" % i)
    yield
    for i in range(0, 200, 2):
        shutil.rmtree(f"{t}/loop/{i % 7}/{i}")


@mutation
def everything_below_goes(t):
    for e in os.scandir(t):
        shutil.rmtree(e.path) if e.is_dir(follow_symlinks=False) else os.unlink(e.path)


@deep
def a_tree_as_deep_as_paths_go(t):
    fd, leaf = deep_tree(t, "d" * 200, 4040)
    yield
    out = os.open(leaf, os.O_WRONLY | os.O_APPEND, dir_fd=fd)
    os.write(out, b" changed")
    os.close(out)
    os.mkdir("e", dir_fd=fd)
    os.close(fd)


def a_tree_of_many_levels(t, total):
    fd, leaf = deep_tree(t, "d", total)
    yield
    os.rename(leaf, "renamed", src_dir_fd=fd, dst_dir_fd=fd)
    os.close(fd)


@deep
def a_tree_of_four_hundred_levels(t):
    return (yield from a_tree_of_many_levels(t, 1100))
