#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""H10: fsck finds and names what is damaged in a hub's data, and a pull of it fails for that path alone."""
import json, os, random, shutil, signal, sqlite3, subprocess, sys, tempfile, threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import SPATE, World, check, compare, main, rounds, wait_for

SEED = int(os.environ.get("SPATE_SEED", "7"))
SMALL = b"the one and only small file"
FRAME_HEAD = 40
FOREVER = 2 ** 63 - 1


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def fill(tree, rng):
    write(f"{tree}/small/a", SMALL)
    write(f"{tree}/small/same", SMALL)
    write(f"{tree}/small/empty", b"")
    write(f"{tree}/mid", rng.randbytes(100_000))
    write(f"{tree}/big", rng.randbytes(3_500_000))
    for i in range(50):
        write(f"{tree}/many/{i % 5}/{i}", rng.randbytes(rng.randrange(3000)))
    os.symlink("mid", f"{tree}/link")


class Stored:
    """A hub's data with some versions: copies of it are damaged."""

    def __init__(self, kill=False):
        rng = random.Random(SEED)
        with World() as w:
            hub = w.hub()
            fill(w.tree, rng)
            self.push(w)
            os.rename(f"{w.tree}/many/3", f"{w.tree}/moved")
            with open(f"{w.tree}/big", "ab") as f:
                f.write(rng.randbytes(2000))
            self.push(w)
            os.unlink(f"{w.tree}/many/1/1")
            write(f"{w.tree}/many/1/new", b"new")
            self.push(w)
            write(f"{w.tree}/many/1/new", b"newer")
            self.push(w)
            hub.stop(signal.SIGKILL if kill else signal.SIGTERM)
            self.dir = tempfile.mkdtemp(prefix="spate-fsck-")
            self.data = shutil.copytree(w.data, f"{self.dir}/hub")
            self.tree = shutil.copytree(w.tree, f"{self.dir}/tree", symlinks=True)

    @staticmethod
    def push(w):
        w.run("push", w.tree, "--to", w.url, "--state", w.state)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def copy(self):
        shutil.rmtree(f"{self.dir}/copy", ignore_errors=True)
        return Copy(shutil.copytree(self.data, f"{self.dir}/copy"))


class Copy:
    def __init__(self, data):
        self.data = data
        self.pack = f"{data}/packs/00000001.pack"

    def sql(self, text, *args):
        with sqlite3.connect(f"{self.data}/hub.db") as db:
            rows = db.execute(text, args).fetchall()
        db.close()
        return rows

    def change(self, text, *args):
        before = self.sql("PRAGMA data_version")
        with sqlite3.connect(f"{self.data}/hub.db") as db:
            n = db.execute(text, args).rowcount
        db.close()
        check(n > 0 and before, f"{text} changed {n} rows")

    def place(self, name):
        return self.sql("SELECT pack, at, stored, hash FROM entry WHERE name=? AND kind=1", name)[0]

    def flip(self, at, path=None):
        with open(path or self.pack, "r+b") as f:
            f.seek(at)
            byte = f.read(1)
            f.seek(at)
            f.write(bytes([byte[0] ^ 0x10]))


def fsck(where, code=0, env=None):
    r = subprocess.run([SPATE, "fsck", where, "--json"], capture_output=True, text=True, timeout=300,
                       env={**os.environ, **(env or {})})
    check(r.returncode == code, f"fsck {where}: exit {r.returncode}, not {code}: {r.stdout[-900:]} {r.stderr[-900:]}")
    found = json.loads(r.stdout) if r.stdout else None
    if found:
        check(found["sound"] == (code == 0) and found["sound"] == (found["n_errors"] == 0),
              f"what it says does not fit the exit code: {found}")
    return found


def named(found):
    return {e.get("path") for e in found["errors"]}


def look(data):
    return {os.path.join(top, n): (s.st_size, s.st_mtime_ns, s.st_ino) for top, _, names in os.walk(data)
            for n in [*names, "."] for s in [os.stat(os.path.join(top, n))]}


def H10_what_a_storm_left_is_sound_running_killed_and_restarted():
    rng = random.Random(SEED)
    with World() as w:
        hub = w.hub()
        fill(w.tree, rng)
        w.watch()
        for i in range(rounds(60, 20, 300)):
            write(f"{w.tree}/many/{i % 7}/{rng.randrange(20)}", rng.randbytes(rng.randrange(200_000)))
            if i % 10 == 5:
                os.rename(f"{w.tree}/many/{i % 7}", f"{w.tree}/away{i}")
            if i % 10 == 7:
                with open(f"{w.tree}/big", "ab") as f:
                    f.write(rng.randbytes(5000))
            if i % 10 == 9:
                w.flush()
        done = w.flush()
        live = fsck(f"http://127.0.0.1:{w.port}")
        check(live["workspaces"] == 1 and live["versions"] >= done["version"] and live["blobs"] > 50, live)
        one = fsck(w.url)
        check(one["versions"] >= done["version"], one)
        check("by the hub's URL" in w.run("fsck", w.data, code=9).stderr, "the holder's URL is not named")
        hub.kill()
        before = look(w.data)
        dead = fsck(w.data)
        check(look(w.data) == before, "a check of a directory changed it")
        check(dead["versions"] >= done["version"] and dead["blobs"] >= live["blobs"], (live, dead))
        hub = w.hub()
        again = fsck(f"http://127.0.0.1:{w.port}")
        check(again["versions"] >= done["version"], again)
        w.exact("after")
        hub.stop()
        before = look(w.data)
        fsck(w.data)
        check(look(w.data) == before, "a check of a directory changed it")


def H10_a_damaged_content_is_named_with_path_version_and_place():
    with Stored() as s:
        fsck(s.data)
        c = s.copy()
        pack, at, stored, _ = c.place(b"mid")
        for where in (at + FRAME_HEAD, at + FRAME_HEAD + stored - 1, at, at + 5, at + 12):
            c = s.copy()
            c.flip(where)
            found = fsck(c.data, 7)
            e = found["errors"][0]
            check(found["n_errors"] == 1 and (e["workspace"], e["path"], e["version"], e["pack"], e["offset"]) ==
                  ("w", "mid", 1, pack, at), found)
        # One content, two paths.
        c = s.copy()
        c.flip(c.place(b"a")[1] + FRAME_HEAD + 3)
        check({"small/a"} <= named(fsck(c.data, 7)) <= {"small/a", "small/same"}, "not the small file")
        # A file's history: what it was is damaged, what it is is not.
        c = s.copy()
        at, begin, end = c.sql("SELECT at, vfrom, vto FROM entry WHERE name=? ORDER BY vfrom", b"new")[0]
        c.flip(at + FRAME_HEAD)
        e = fsck(c.data, 7)["errors"][0]
        check((e["path"], e["version"], e["last_version"]) == ("many/1/new", begin, end - 1), e)
        # A moved directory: the path is the one of the version.
        c = s.copy()
        c.flip(c.place(b"3")[1] + FRAME_HEAD)
        check(named(fsck(c.data, 7)) == {"many/3/3"}, "not the path it had")
        text = subprocess.run([SPATE, "fsck", c.data], capture_output=True, text=True)
        check(text.returncode == 7 and '"many/3/3" version 1' in text.stdout and "backup" in text.stdout, text)


def H10_damage_of_a_chunk_and_of_a_list_is_named_with_the_file():
    with Stored() as s:
        c = s.copy()
        lists = c.sql("SELECT at, stored, hash, vfrom FROM entry WHERE name=? ORDER BY vfrom", b"big")
        check(len(lists) == 2, lists)
        with open(c.pack, "rb") as f:
            f.seek(lists[0][0] + FRAME_HEAD)
            items = f.read(lists[0][1])[13:]
        chunks = [items[i:i + 32] for i in range(0, len(items), 36)]
        check(len(chunks) >= 4, chunks)
        at = c.sql("SELECT at FROM blob WHERE hash=?", chunks[1])[0][0]
        c.flip(at + FRAME_HEAD + 1000)
        found = fsck(c.data, 7)
        check(named(found) == {"big"} and {e["version"] for e in found["errors"]} == {row[3] for row in lists} and
              {e["offset"] for e in found["errors"]} == {at}, found)
        c = s.copy()
        c.change("DELETE FROM blob WHERE hash=?", chunks[1])
        found = fsck(c.data, 7)
        check(named(found) == {"big"} and found["n_errors"] == 2, found)
        c = s.copy()
        c.change("UPDATE blob SET at=at+1 WHERE hash=?", chunks[1])
        check(named(fsck(c.data, 7)) == {"big"}, "not the big file")
        c = s.copy()
        c.flip(lists[0][0] + FRAME_HEAD + 20)
        found = fsck(c.data, 7)
        check(any(e.get("path") == "big" and e["version"] == lists[0][3] for e in found["errors"]), found)


def H10_cut_and_missing_packs_are_damage_and_leftovers_are_not():
    with Stored() as s:
        c = s.copy()
        size = os.path.getsize(c.pack)
        os.truncate(c.pack, size // 2)
        found = fsck(c.data, 7)
        check("many/1/new" in named(found) and all("pack" in e for e in found["errors"]), found)
        c = s.copy()
        os.unlink(c.pack)
        found = fsck(c.data, 7)
        check({"mid", "big", "small/a", "many/1/1"} <= named(found), found)
        check("not there" in found["errors"][0]["problem"], found)
        shutil.rmtree(f"{c.data}/packs")
        fsck(c.data, 7)
        c = s.copy()
        before = fsck(c.data)["unreferenced_bytes"]
        with open(c.pack, "ab") as f:
            f.write(b"\0" * 1000 + os.urandom(3000))
        found = fsck(c.data)
        check(found["unreferenced_bytes"] == before + 4000, found)


def H10_rows_that_contradict_each_other_are_found():
    damages = [
        ("UPDATE entry SET at=at+1 WHERE name=x'6d6964'", "mid", "content"),
        ("UPDATE entry SET pack=77 WHERE name=x'6d6964'", "mid", "content"),
        ("UPDATE entry SET hash=x'" + "ab" * 32 + "' WHERE name=x'6d6964'", "mid", "content"),
        ("UPDATE entry SET hash=NULL WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET size=size+1 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET size=size+1 WHERE name=x'626967' AND vfrom=1", "big", "content"),
        ("UPDATE entry SET mode=65535 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET form=3 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET kind=4 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET flags=8 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET writer=99 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET rev=3 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET vto=vfrom WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET vfrom=99 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET vto=99 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET dir=77 WHERE name=x'6d6964'", "mid", "entry"),
        ("UPDATE entry SET name=x'2e2e' WHERE name=x'6d6964'", "..", "entry"),
        ("UPDATE entry SET name=x'612f62' WHERE name=x'6d6964'", "a/b", "entry"),
        ("UPDATE entry SET target=x'' WHERE name=x'6c696e6b'", "link", "entry"),
        (f"UPDATE entry SET vto={FOREVER} WHERE name=x'626967'", "big", "entry"),
        ("UPDATE entry SET child=1 WHERE name=x'736d616c6c'", "small", "entry"),
        ("UPDATE entry SET child=999 WHERE name=x'736d616c6c'", "small", "entry"),
        ("UPDATE entry SET child=(SELECT child FROM entry WHERE name=x'6d616e79') WHERE name=x'736d616c6c'",
         None, "entry"),
        ("UPDATE entry SET dir=child WHERE name=x'736d616c6c'", None, "entry"),
        ("UPDATE entry SET kind=1 WHERE name=x'736d616c6c'", "small", "entry"),
        ("DELETE FROM entry WHERE name=x'736d616c6c'", None, "entry"),
        ("UPDATE entry SET vto=2 WHERE name=x'736d616c6c'", None, "entry"),
        ("DELETE FROM version WHERE v=2", None, "version"),
        ("DELETE FROM version WHERE v=4", None, "version"),
        ("UPDATE version SET writer=55 WHERE v=2", None, "version"),
        ("UPDATE workspace SET head=9", None, "version"),
        ("UPDATE workspace SET head=3", None, "entry"),
        ("UPDATE workspace SET uid=x'01'", None, "workspace"),
        ("UPDATE workspace SET next_dir=2", None, "entry"),
        ("UPDATE workspace SET name='../x'", None, "workspace"),
        ("UPDATE workspace SET tenant=9", None, "workspace"),
        ("DELETE FROM writer", None, "version"),
        ("UPDATE writer SET version=99", None, "writer"),
        ("UPDATE writer SET outcomes=x'010203'", None, "writer"),
        ("UPDATE blob SET len=len+1", "big", "content"),
        ("UPDATE blob SET at=at+1 WHERE len=100000", None, "blob"),
        ("INSERT INTO blob VALUES(1, x'" + "cd" * 32 + "', 70000, 1, 0)", None, "blob"),
    ]
    with Stored() as s:
        for text, path, what in damages:
            c = s.copy()
            c.change(text)
            found = fsck(c.data, 7)
            check(any(e["what"] == what and (not path or e.get("path") == path) for e in found["errors"]),
                  f"{text}: {found}")
    print(f"count: {len(damages)} ways to damage rows")


def H10_a_damaged_tail_is_found_and_a_sound_one_counts_before_the_pack():
    with Stored(kill=True) as s:
        fsck(s.data)
        c = s.copy()
        # As after a power loss: the pack was never synced, the tail will make it good.
        rows = c.sql("SELECT id, pack, at, length(area) FROM tail")
        check(rows, "a killed hub left no tail")
        os.truncate(c.pack, min(r[2] for r in rows))
        fsck(c.data)
        area = bytearray(c.sql("SELECT area FROM tail ORDER BY id DESC LIMIT 1")[0][0])
        area[-1] ^= 1
        c.change("UPDATE tail SET area=? WHERE id=(SELECT max(id) FROM tail)", bytes(area))
        found = fsck(c.data, 7)
        check({"tail", "content"} == {e["what"] for e in found["errors"]} and "many/1/new" in named(found), found)
        c = s.copy()
        c.change("UPDATE tail SET area=substr(area, 2) WHERE id=(SELECT max(id) FROM tail)")
        check("tail" in {e["what"] for e in fsck(c.data, 7)["errors"]}, "not the tail")
        c = s.copy()
        c.change("DELETE FROM tail")
        os.truncate(c.pack, min(r[2] for r in rows))
        fsck(c.data, 7)


def used_pages(path):
    """Numbers, from 0, of the pages that are not free."""
    with open(path, "rb") as f:
        data = f.read()

    def number(at):
        return int.from_bytes(data[at:at + 4], "big")

    free, trunk = set(), number(32)
    while trunk:
        at = (trunk - 1) * 4096
        free |= {trunk, *(number(at + 8 + 4 * i) for i in range(number(at + 4)))}
        trunk = number(at)
    return [p for p in range(len(data) // 4096) if p + 1 not in free]


def H10_a_damaged_database_is_said_to_be_one():
    rng = random.Random(SEED)
    with Stored() as s:
        size = os.path.getsize(f"{s.data}/hub.db")
        pages = used_pages(f"{s.data}/hub.db")
        for page in pages:
            c = s.copy()
            with open(f"{c.data}/hub.db", "r+b") as f:
                f.seek(page * 4096)
                f.write(rng.randbytes(4096))
            fsck(c.data, 7)
        for cut in (0, 1, 100, 4096, 3 * 4096, 3 * 4096 + 1):
            c = s.copy()
            os.truncate(f"{c.data}/hub.db", cut)
            check("database" in {e["what"] for e in fsck(c.data, 7)["errors"]}, f"cut to {cut}")
        c = s.copy()
        os.unlink(f"{c.data}/hub.db")
        fsck(c.data, 7)
        for _ in range(rounds(20, 5, 200)):
            c = s.copy()
            c.flip(rng.randrange(size), f"{c.data}/hub.db")
            r = subprocess.run([SPATE, "fsck", c.data, "--json"], capture_output=True, text=True, timeout=300)
            check(r.returncode in (0, 1, 7), f"exit {r.returncode}: {r.stderr[-500:]}")
    print(f"count: {len(pages)} damaged pages")


def H10_every_flipped_byte_of_a_content_is_found():
    print(f"SPATE_SEED={SEED}")
    rng = random.Random(SEED)
    n = rounds(40, 10, 1000)
    with Stored() as s:
        c = s.copy()
        spans = c.sql("SELECT DISTINCT at, at+40+stored FROM entry WHERE kind=1 AND stored>0"
                      " UNION SELECT at, at+40+len FROM blob")
        for _ in range(n):
            low, high = rng.choice(spans)
            at = rng.randrange(low, high)
            c.flip(at)
            found = fsck(c.data, 7)
            check(any(e["offset"] == low for e in found["errors"]), f"byte {at}: {found}")
            c.flip(at)
        fsck(c.data)
    print(f"count: {n} flipped bytes")


def H10_a_pull_of_damage_fails_for_those_paths_alone():
    with Stored() as s, World() as w:
        out = shutil.copytree(s.tree, f"{w.dir}/out", symlinks=True)
        shutil.copytree(s.data, w.data)
        c = Copy(w.data)
        big = c.sql("SELECT at, stored FROM entry WHERE name=? ORDER BY vfrom DESC", b"big")[0]
        with open(c.pack, "rb") as f:
            f.seek(big[0] + FRAME_HEAD)
            chunk = f.read(big[1])[13 + 36:13 + 36 + 32]
        kinds = {
            "a chunk": (lambda: c.flip(c.sql("SELECT at FROM blob WHERE hash=?", chunk)[0][0] + 99), {"big"}),
            "a list": (lambda: c.flip(big[0] + FRAME_HEAD + 15), {"big"}),
            "a head": (lambda: c.flip(c.place(b"mid")[1] + 9), {"mid"}),
            "an indexed content": (lambda: c.flip(c.place(b"mid")[1] + 900), {"mid"}),
            "a place": (lambda: c.change("UPDATE entry SET at=at+2 WHERE name=x'6d6964'"), {"mid"}),
            "a chunk that is unknown": (lambda: c.change("DELETE FROM blob WHERE hash=?", chunk), {"big"}),
        }
        for what, (damage, paths) in kinds.items():
            shutil.rmtree(w.data)
            shutil.copytree(s.data, w.data)
            damage()
            hub = w.hub()
            shutil.rmtree(out)
            os.makedirs(out)
            r = json.loads(w.run("pull", w.url, out, "--state", f"{out}.{what}", "--json", code=7).stdout)
            said = {f["path"] for f in r["failed"]}
            check(said == paths, f"{what}: {r}")
            differ = {os.fsdecode(p) for p, _ in compare(s.tree, out)}
            check(differ == paths, f"{what}: {differ}")
            # What is there already stays as it was.
            for p in paths:
                write(f"{out}/{p}", b"mine")
            shutil.copytree(s.tree, f"{out}.2", symlinks=True)
            for p in paths:
                write(f"{out}.2/{p}", b"mine")
            w.run("pull", w.url, f"{out}.2", "--state", f"{out}.2.{what}", "--json", code=None)
            for p in paths:
                check(open(f"{out}.2/{p}", "rb").read() == b"mine", f"{what}: the local file was touched")
            shutil.rmtree(f"{out}.2")
            found = fsck(w.url, 7)
            check(named(found) == paths, f"{what}: {found}")
            hub.stop()


def H10_a_hub_checks_itself_while_commits_go_on():
    with World() as w:
        w.hub()
        rng = random.Random(SEED)
        fill(w.tree, rng)
        for i in range(12):
            write(f"{w.tree}/bulk{i}", rng.randbytes(4_000_000))
        w.watch()
        w.flush()
        end = threading.Event()

        def change():
            i = 0
            while not end.is_set():
                write(f"{w.tree}/churn/{i % 50}", os.urandom(random.randrange(80_000)))
                i += 1
                end.wait(0.005)

        t = threading.Thread(target=change)
        t.start()
        try:
            versions = []
            for i in range(rounds(8, 3, 40)):
                found = fsck(w.url if i % 2 else f"http://127.0.0.1:{w.port}")
                versions.append(found["versions"])
            check(versions == sorted(versions) and versions[-1] > versions[0], f"no commit came between: {versions}")
            # Two at once: the second joins the first, or is told.
            both = [subprocess.Popen([SPATE, "fsck", u, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                    for u in (w.url, f"http://127.0.0.1:{w.port}")]
            codes = [p.wait(300) for p in both]
            for p in both:
                p.stdout.close()
            check(0 in codes and set(codes) <= {0, 9}, codes)
        finally:
            end.set()
            t.join()
        w.exact("after")


def exit_codes_say_what_kept_it():
    with World() as w:
        w.run("fsck", code=2)
        w.run("fsck", f"{w.dir}/nothing", code=2)
        w.run("fsck", w.tree, code=2)
        w.run("fsck", "ftp://x/y", code=2)
        w.run("fsck", "http://127.0.0.1:1", code=5)
        data = f"{w.dir}/guarded"
        hub = w.start(["serve", "--data", data, "--listen", "127.0.0.1:0"], "ready")
        url = hub.line.split()[1]
        w.run("fsck", url, code=6)
        w.run("fsck", url, "--token-file", f"{data}/admin.token")
        check("nope" in w.run("fsck", f"{url}/nope", "--token-file", f"{data}/admin.token", code=1).stderr,
              "the workspace is not named")
        w.run("fsck", data, code=9)
        hub.stop()
        w.run("fsck", data)
        with open(f"{data}/format", "w") as f:
            f.write("spate-hub 9\n")
        w.run("fsck", data, code=1)
        # A first start that was cut off has lost nothing.
        os.makedirs(f"{w.dir}/fresh")
        write(f"{w.dir}/fresh/format", b"spate-hub 1\n")
        w.run("fsck", f"{w.dir}/fresh")
        write(f"{w.dir}/fresh/hub.db", b"")
        w.run("fsck", f"{w.dir}/fresh")


main([H10_what_a_storm_left_is_sound_running_killed_and_restarted,
      H10_a_damaged_content_is_named_with_path_version_and_place,
      H10_damage_of_a_chunk_and_of_a_list_is_named_with_the_file,
      H10_cut_and_missing_packs_are_damage_and_leftovers_are_not,
      H10_rows_that_contradict_each_other_are_found,
      H10_a_damaged_tail_is_found_and_a_sound_one_counts_before_the_pack,
      H10_a_damaged_database_is_said_to_be_one,
      H10_every_flipped_byte_of_a_content_is_found,
      H10_a_pull_of_damage_fails_for_those_paths_alone,
      H10_a_hub_checks_itself_while_commits_go_on,
      exit_codes_say_what_kept_it])
