#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real tools under a running watch: npm install, git clone, checkout back and forth, mv, rm -rf; exact after each.

Needs the npm registry; without npm on the machine the test says so and is skipped.
"""
import os, shutil, subprocess, sys, tarfile, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main

VERSIONS = ["3.10.1", "4.0.0", "4.17.4", "4.17.21"]
GIT = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
       "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": "/dev/null"}


def tool(*args, cwd):
    r = subprocess.run(args, cwd=cwd, capture_output=True, text=True, env=GIT)
    check(r.returncode == 0, f"{' '.join(args)}: {r.stderr[-500:]}")


def lodash_repository(where):
    """A git repository with one commit for each of four published versions of lodash."""
    repo = f"{where}/lodash.git-work"
    os.mkdir(repo)
    tool("git", "init", "-q", "-b", "main", cwd=repo)
    for version in VERSIONS:
        tool("npm", "pack", f"lodash@{version}", "--silent", cwd=where)
        for name in os.listdir(repo):
            if name != ".git":
                path = f"{repo}/{name}"
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        with tarfile.open(f"{where}/lodash-{version}.tgz") as t:
            t.extractall(f"{where}/x")
        shutil.copytree(f"{where}/x/package", repo, dirs_exist_ok=True)
        shutil.rmtree(f"{where}/x")
        tool("git", "add", "-A", cwd=repo)
        tool("git", "commit", "-q", "-m", version, cwd=repo)
        tool("git", "tag", f"v{version}", cwd=repo)
    return repo


def real_trees(io):
    if not shutil.which("npm") or not shutil.which("git"):
        print("no npm or git here: skipped")
        return
    with World(io=io) as w, tempfile.TemporaryDirectory(prefix="spate-lodash-") as where:
        repo = lodash_repository(where)
        w.hub()
        watch = w.watch()
        app = f"{w.tree}/app"
        os.mkdir(app)
        with open(f"{app}/package.json", "w") as f:
            f.write('{"name":"app","version":"1.0.0"}')
        tool("npm", "install", "--no-audit", "--no-fund", "typescript", "eslint", cwd=app)
        w.exact("npm install")
        tool("git", "clone", "-q", f"file://{repo}", "lodash", cwd=w.tree)
        w.exact("git clone")
        for version in VERSIONS + VERSIONS[::-1]:
            tool("git", "checkout", "-q", f"v{version}", cwd=f"{w.tree}/lodash")
            w.exact(f"git checkout {version}")
        os.rename(f"{w.tree}/lodash", f"{app}/lodash-moved")
        w.exact("mv of a directory")
        os.rename(f"{app}/node_modules/typescript", f"{w.tree}/typescript")
        os.rename(f"{app}/node_modules", f"{w.tree}/modules")
        w.exact("mv of node_modules")
        os.rename(f"{w.tree}/modules", f"{app}/node_modules")
        w.exact("and back")
        shutil.rmtree(f"{app}/node_modules")
        w.exact("rm -rf node_modules")
        check(w.status()["counters"]["conflicts"] == 0, "false conflicts")
        check(watch.stop() == 0, "drain")


def real_trees_with_io_uring():
    real_trees("uring")


def real_trees_with_threads():
    real_trees("threads")


main([real_trees_with_io_uring, real_trees_with_threads])
