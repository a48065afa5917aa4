"""What `deploy/` says is tried as it stands: its commands, its PostgreSQL storage, its login, its units."""

import base64
import json
import os
import pwd
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import study

DEPLOY = study.ROOT / "deploy"
BIN = Path(sys.executable).parent
SECONDS = 90
ME = pwd.getpwuid(os.geteuid()).pw_name


def needed(name: str) -> str:
    """The path of a program of the machine; a CI run that lacks one fails, elsewhere the test is left out."""
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(there[-1]) if there else shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if not found and os.environ.get("CI"):
        pytest.fail(f"{name} is not installed; .ci/run does that")
    if not found:
        pytest.skip(f"{name} is not installed")
    return str(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], env: dict[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, env=env, cwd=study.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def asked(url: str, query: str = "", login: str = "") -> tuple[int, Any]:
    """Status and JSON of a GraphQL question (or a plain GET); waits until somebody answers."""
    body = json.dumps({"query": query}).encode() if query else None
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer) if query else answer.read()
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError:
            assert time.monotonic() < deadline, f"nobody answers at {url}"
            time.sleep(0.2)


def settings(**places: str) -> dict[str, str]:
    """What `restage.env` sets, read by a shell, with other places than the server's."""
    text = (DEPLOY / "restage.env").read_text()
    for old, new in {
        "/srv/restage/study": places["home"], "restage@": f"{ME}@", "/var/run/postgresql": places["socket"],
    }.items():  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    shell = ["sh", "-ec", f"set -a; {text}\nenv -0"]
    done = subprocess.run(shell, env={}, check=True, capture_output=True, text=True)
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


@pytest.fixture(scope="module")
def socket_folder() -> Iterator[str]:
    """Where a real PostgreSQL listens that knows users as Debian's does: by the user of the machine, no password."""
    initdb, server, psql = needed("initdb"), needed("postgres"), needed("psql")
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        root = Path(place)
        root.chmod(0o755)
        if user:
            shutil.chown(root, "postgres")
        data = str(root / "data")
        made = [*user, initdb, "-D", data, "-U", ME, "--auth-local=peer", "--auth-host=reject", "-N"]
        subprocess.run(made, check=True, capture_output=True)
        options = ["-D", data, "-h", "", "-k", str(root), "-c", "fsync=off"]
        stack.enter_context(running([*user, server, *options]))
        command = [psql, "-h", str(root), "-U", ME, "postgres", "-c", "create database restage"]
        deadline = time.monotonic() + SECONDS
        while subprocess.run(command, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.2)
        yield str(root)


def unit(name: str, env: dict[str, str], ports: dict[str, int], workspace: Path) -> list[str]:
    """The command of a unit as it stands, on this checkout and on free ports."""
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "systemd" / f"restage-{name}.service").read_text(), re.M)
    words = line.replace("/opt/restage/.venv/bin", str(BIN)).replace(
        "/opt/restage/deploy/workspace.yaml", str(workspace)
    )
    for stated, port in ports.items():
        words = words.replace(f"-p {stated}", f"-p {port}")
    return words.split()


@pytest.mark.long
def test_services_work_on_one_study_whose_records_lie_in_postgres(
    socket_folder: str, tmp_path: Path, demo_home: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo_home, home, ignore=shutil.ignore_patterns("dagster"))
    (home / "dagster").mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", home / "dagster")
    (home / "state.json").unlink()
    env = {**os.environ, **settings(home=str(home), socket=socket_folder)}
    code = "from pipelines.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "run"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    assert not list((home / "dagster").rglob("*.db")), "nothing is recorded in files of SQLite"
    ports = {p: free_port() for p in ("4000", "3000", "3001")}
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text((DEPLOY / "workspace.yaml").read_text().replace("4000", str(ports["4000"])))
    with ExitStack() as stack:
        for name in ("code", "webserver", "viewer", "daemon"):
            stack.enter_context(running(unit(name, env, ports, workspace), env))
        runs = "{ runsOrError { ... on Runs { results { status } } } }"
        loaded = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
        editor, viewer = f"http://127.0.0.1:{ports['3000']}/graphql", f"http://127.0.0.1:{ports['3001']}/view/graphql"
        for url in (editor, viewer):
            status, answer = asked(url, runs)
            assert (status, answer["data"]["runsOrError"]["results"]) == (200, [{"status": "SUCCESS"}])
        deadline = time.monotonic() + SECONDS
        while not asked(editor, loaded)[1]["data"]["repositoriesOrError"].get("nodes"):
            assert time.monotonic() < deadline, "the code location does not load"
            time.sleep(0.5)
        beats = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"
        while True:
            found = asked(editor, beats)[1]["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
            if {d["daemonType"] for d in found if d["healthy"]} >= {"SENSOR", "SCHEDULER", "QUEUED_RUN_COORDINATOR"}:
                break
            assert time.monotonic() < deadline, found
            time.sleep(0.5)
        # the viewers' server refuses what starts something
        start = 'mutation { startSensor(sensorSelector: {repositoryLocationName: "restage", repositoryName: \
            "__repository__", sensorName: "inbox"}) { __typename } }'
        refused = asked(viewer, start)[1]
        assert "UnauthorizedError" in json.dumps(refused), refused


def by_hand(folder: Path, program: str, user: str = ME, env: dict[str, str] | None = None) -> Path:
    """The command of the server in a folder, for this user, with these settings and another program."""
    given = "".join(f"{name}={shlex.quote(value)}\n" for name, value in (env or {}).items())
    (folder / "restage.env").write_text(given)
    text = (DEPLOY / "restage").read_text()
    for old, new in {
        "user=restage": f"user={user}", "/etc/restage": str(folder), "HOME=/srv/restage": f"HOME={folder}",
        "/opt/restage/.venv/bin/restage": program,
    }.items():  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    command = folder / "restage"
    command.write_text(text)
    command.chmod(0o755)
    return command


def test_the_command_by_hand_opens_the_records_as_the_services_do(socket_folder: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "dagster").mkdir(parents=True)
    shutil.copy(DEPLOY / "dagster.yaml", home / "dagster")
    command = by_hand(tmp_path, str(BIN / "restage"), env=settings(home=str(home), socket=socket_folder))
    told = subprocess.run(
        [command, "doctor", "--json"], env={"PATH": os.defpath}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert {"check": "runs", "state": "ok"}.items() <= json.loads(told.stdout)["findings"][-1].items()


def test_the_command_by_hand_is_the_services_user_or_says_how(tmp_path: Path) -> None:
    """As root it becomes the services' user, so that no file of root's lies in the home."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        command = by_hand(folder, "sh -c 'id -un; umask; echo $HOME $X'", "nobody", {"X": "a & b"})
        done = subprocess.run([command], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["nobody", "0027", str(folder), "a", "&", "b"]
        other = subprocess.run([command], capture_output=True, text=True, check=False, user="www-data")
        assert (other.returncode, other.stdout) == (2, "")
        assert "sudo -u nobody restage" in other.stderr


@pytest.mark.parametrize("address", ["", "postgresql+psycopg2://restage@/restage?host=/nowhere"])
def test_records_that_cannot_be_opened_are_told_with_what_to_do(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.orchestration import doctor
    from pipelines.warehouse import Home

    home = Home(tmp_path)
    home.dagster.mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", home.dagster)
    monkeypatch.delenv("RESTAGE_POSTGRES", raising=False)
    if address:
        monkeypatch.setenv("RESTAGE_POSTGRES", address)
    found = [f for f in doctor.examine(home) if f.check == "runs"]
    assert [f.state for f in found] == ["wrong"]
    assert ("not set" in found[0].what) is (not address)
    assert "PostgreSQL" in found[0].advice


def checked_config(nginx: str, folder: Path, server: str) -> Path:
    """The whole configuration of an nginx whose files lie in a folder, found right by nginx itself."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    owner = "user www-data;\n" if os.geteuid() == 0 else ""  # as Debian's own nginx.conf
    config = folder / "nginx.conf"
    config.write_text(
        f"{owner}daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{server}\n}}\n"
    )
    tried = subprocess.run([nginx, "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    return config


def echo_server(folder: Path, *headers: str) -> Path:
    """A program that answers on the port it is given, with the port and what it got in these headers."""
    told = " + ".join(["''", *(f"str(self.headers.get({name!r}))" for name in headers)])
    path = folder / "echo.py"
    path.write_text(
        "import sys\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\n"
        "class H(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n        self.send_response(200); self.end_headers()\n"
        f"        self.wfile.write((sys.argv[1] + {told}).encode())\n"
        "HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n"
    )
    return path


def test_the_hospitals_login_knows_the_page_that_was_asked_for(tmp_path: Path) -> None:
    """oauth2-proxy makes the way back after the login from the host that it is told."""
    nginx, port, login = needed("nginx"), free_port(), free_port()
    locations = (DEPLOY / "nginx" / "oidc.conf").read_text().replace(":4180", f":{login}")
    config = checked_config(nginx, tmp_path, f"server {{ listen 127.0.0.1:{port}; {locations} }}")
    echo = echo_server(tmp_path, "Host", "X-Forwarded-Proto", "X-Auth-Request-Redirect")
    with running([sys.executable, str(echo), str(login)]), running([nginx, "-c", str(config)]):
        assert asked(f"http://127.0.0.1:{login}")[0] == 200
        answer = asked(f"http://127.0.0.1:{port}/oauth2/start")
        assert answer == (200, f"{login}127.0.0.1http/oauth2/start".encode())


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A folder that other users reach, with what the how-to's own commands make in it in place of the server's.

    "nobody" stands for the services' user. Without root everything is the one user's, as it is.
    """
    page = (study.ROOT / "docs" / "how-to" / "server.md").read_text()
    page = page[page.index("## With systemd") : page.index("## With containers")]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        for name in ("etc/tls", "bin", "srv"):
            (folder / name).mkdir(parents=True)
        for who in ("editor", "viewer"):
            made = subprocess.run(
                [needed("openssl"), "passwd", "-apr1", "invented"], check=True, capture_output=True, text=True
            ).stdout
            (folder / "etc" / f"{who}s.htpasswd").write_text(f"{who}:{made}")
        for line in re.findall(r"^ +sudo ((?:install|chown|chmod) .*)$", page, re.M):
            words = line.replace("-o restage", "-o nobody").replace("-g restage", "-g nogroup")
            for old, new in {
                "/etc/restage": folder / "etc", "/srv/restage": folder / "srv", "/usr/local/bin": folder / "bin",
                "/opt/restage": study.ROOT,
            }.items():  # fmt: skip
                words = words.replace(old, str(new))
            if os.geteuid():
                words = re.sub(r"-[og] \S+", "", words)
                if words.startswith("chown"):
                    continue
            subprocess.run(["sh", "-ec", words], check=True, capture_output=True)
        yield folder


@contextmanager
def over_tls(folder: Path) -> Iterator[None]:
    """An invented certificate, trusted by what this process asks for."""
    subject = ["-subj", "/CN=127.0.0.1", "-nodes", "-days", "1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    made = [needed("openssl"), "req", "-x509", "-newkey", "rsa:2048", *subject, *files]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    context.check_hostname = False
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.HTTPSHandler(context=context)))
    try:
        yield
    finally:
        urllib.request.install_opener(None)  # type: ignore[arg-type]


def served(nginx: str, folder: Path, server: str, ports: dict[str, int]) -> Path:
    """The configuration of the server with the places of a folder and free ports."""
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{ports['443']} ssl", "/etc/restage": str(folder / "etc"),
        "/srv/restage": str(folder / "srv"), ":3000": f":{ports['3000']}", ":3001": f":{ports['3001']}",
    }.items():  # fmt: skip
        assert old in server
        server = server.replace(old, new)
    return checked_config(nginx, folder, server)


def test_nothing_is_seen_without_a_login(server_folder: Path) -> None:
    nginx = needed("nginx")
    ports = {name: free_port() for name in ("443", "3000", "3001")}
    home = server_folder / "srv" / "study"
    as_service: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if not os.geteuid() else {}
    (umask,) = {
        m for p in (DEPLOY / "systemd").glob("*.service") for m in re.findall(r"^UMask=(.*)$", p.read_text(), re.M)
    }
    made = "mkdir reports/study archive; echo rows > archive/rows; echo overview > reports/.index.part; \
        mv reports/.index.part reports/index.html; cp reports/index.html reports/study/report.html"
    subprocess.run(["sh", "-ec", made], cwd=home, umask=int(umask, 8), check=True, **as_service)
    if as_service:
        command = ["cat", str(home / "archive" / "rows"), str(home / "dagster" / "dagster.yaml")]
        read = subprocess.run(
            command, user="www-data", group="www-data", extra_groups=[], capture_output=True, check=False
        )
        assert (read.returncode, read.stdout) == (1, b""), "nginx reads the reports alone"
    with ExitStack() as stack:
        stack.enter_context(over_tls(server_folder / "etc" / "tls"))
        config = served(nginx, server_folder, (DEPLOY / "nginx" / "restage.conf").read_text(), ports)
        echo = echo_server(server_folder, "Authorization")
        for port in ("3000", "3001"):
            stack.enter_context(running([sys.executable, str(echo), str(ports[port])]))
            assert asked(f"http://127.0.0.1:{ports[port]}")[0] == 200
        stack.enter_context(running([nginx, "-c", str(config)]))
        base = f"https://127.0.0.1:{ports['443']}"
        for path in ("/", "/view", "/reports/index.html", "/graphql"):
            assert asked(base + path)[0] == 401, path
            assert asked(base + path, login="editor:wrong")[0] == 401, path
        # the login is not passed on
        assert asked(f"{base}/", login="editor:invented") == (200, f"{ports['3000']}None".encode())
        assert asked(f"{base}/view", login="viewer:invented") == (200, f"{ports['3001']}None".encode())
        for path in ("/reports/", "/reports/index.html", "/reports/study/report.html"):
            assert asked(base + path, login="editor:invented") == (200, b"overview\n"), path
        for path in ("/", "/reports/index.html", "/graphql"):
            assert asked(base + path, login="viewer:invented")[0] == 401, path


def login_server(folder: Path) -> Path:
    """A program that answers `/oauth2/auth` as oauth2-proxy does: no session 401, not in the group 403, else 202.

    The session's group is told by the name in its Authorization; any other page tells its own address.
    """
    path = folder / "login.py"
    path.write_text("""import base64, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit
class H(BaseHTTPRequestHandler):
    def do_GET(self):
        asked, known = urlsplit(self.path), self.headers.get("Authorization", "").removeprefix("Basic ")
        name = base64.b64decode(known).decode().split(":")[0]
        allowed = parse_qs(asked.query).get("allowed_groups", [f"restage-{name}s"])
        code = 401 if not name else 202 if f"restage-{name}s" in allowed else 403
        code = code if asked.path == "/oauth2/auth" else 200
        self.send_response(code); self.end_headers(); self.wfile.write(asked.path.encode())
HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
""")
    return path


def test_the_hospitals_login_lets_in_those_of_the_group_alone(server_folder: Path) -> None:
    """Changed as the comments of oidc.conf say."""
    nginx = needed("nginx")
    ports = {name: free_port() for name in ("443", "3000", "3001", "4180")}
    basic, oidc = ((DEPLOY / "nginx" / name).read_text() for name in ("restage.conf", "oidc.conf"))
    swaps = re.findall(r"with (\w+)\.htpasswd by: +(auth_request .*;)$", oidc, re.M)
    for who, instead in swaps:
        pair = rf"auth_basic .*;\n *auth_basic_user_file /etc/restage/{who}.htpasswd;"
        assert re.search(pair, basic)
        basic = re.sub(pair, instead, basic)
    assert "auth_basic" not in basic
    server = basic.rstrip().removesuffix("}") + oidc.replace(":4180", f":{ports['4180']}") + "}\n"
    (server_folder / "srv" / "study" / "reports" / "index.html").write_text("overview")
    (server_folder / "srv" / "study" / "reports" / "index.html").chmod(0o644)
    with ExitStack() as stack:
        stack.enter_context(over_tls(server_folder / "etc" / "tls"))
        config = served(nginx, server_folder, server, ports)
        for program, names in (
            (echo_server(server_folder), ("3000", "3001")),
            (login_server(server_folder), ("4180",)),
        ):
            for port in names:
                stack.enter_context(running([sys.executable, str(program), str(ports[port])]))
                assert asked(f"http://127.0.0.1:{ports[port]}")[0] == 200
        stack.enter_context(running([nginx, "-c", str(config)]))
        base = f"https://127.0.0.1:{ports['443']}"
        for path in ("/", "/view", "/reports/index.html", "/graphql"):
            assert asked(base + path) == (200, b"/oauth2/sign_in"), path
            assert asked(base + path, login="stranger:x")[0] == 403, path
        for path in ("/", "/reports/index.html", "/graphql"):
            assert asked(base + path, login="viewer:x")[0] == 403, path
        assert asked(f"{base}/", login="editor:x") == (200, str(ports["3000"]).encode())
        assert asked(f"{base}/reports/", login="editor:x") == (200, b"overview")
        assert asked(f"{base}/view", login="viewer:x") == (200, str(ports["3001"]).encode())


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    verify = needed("systemd-analyze")
    for path in (DEPLOY / "systemd").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/restage/.venv/bin", str(BIN)))
    units = sorted(str(p) for p in tmp_path.iterdir())
    done = subprocess.run([verify, "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "restage" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_nightly_backup_thins_out_only_after_one_that_went_well(tmp_path: Path) -> None:
    """The unit's own lines on a home of this machine; before the first delivery nothing is started."""
    unit_text = (DEPLOY / "systemd" / "restage-backup.service").read_text()
    home, backups = tmp_path / "study", tmp_path / "backups"
    for old, new in {"/srv/restage": tmp_path, "/opt/restage/.venv/bin": BIN, "%%": "%"}.items():
        unit_text = unit_text.replace(str(old), str(new))
    (needs,) = re.findall(r"^ConditionPathExists=(.*)$", unit_text, re.M)
    start, after = (re.findall(rf"^ExecStart{which}=(.*)$", unit_text, re.M) for which in ("", "Post"))
    backups.mkdir()
    for name, days in (("study-old.tar.gz", 31), ("study-new.tar.gz", 29), ("before-upgrade.tar.gz", 400)):
        (backups / name).touch()
        os.utime(backups / name, (time.time() - days * 86400,) * 2)

    def night() -> set[str]:
        # as systemd: what comes after follows what went well
        env = {**os.environ, "RESTAGE_HOME": str(home)}
        command = " && ".join([*start, *after])
        done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, check=False)
        assert (done.returncode == 0) is Path(needs).exists()
        return {p.name for p in backups.iterdir()}

    assert len(night()) == 3, "nothing was written, so nothing goes"
    (home / "archive").mkdir(parents=True)
    (home / "archive" / "ledger.jsonl").touch()
    kept = night()
    assert kept > {"study-new.tar.gz", "before-upgrade.tar.gz"}
    assert len(kept) == 3
    assert "study-old.tar.gz" not in kept


def test_compose_finds_nothing_wrong_with_the_services(tmp_path: Path) -> None:
    compose = needed("docker-compose")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    secrets = tmp_path / "deploy" / "compose" / "secrets"
    secrets.mkdir()
    for name in ("pgpass", "postgres_password"):
        (secrets / name).touch()
    file = tmp_path / "deploy" / "compose" / "compose.yaml"
    done = subprocess.run([compose, "-f", str(file), "config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    services = yaml.safe_load(done.stdout)["services"]
    expected = settings(home="/srv/restage/study", socket="/var/run/postgresql")
    for name in ("code", "daemon", "webserver", "viewer"):
        (stated,) = re.findall(r"bin/(.*)$", "\n".join(unit_line(name)), re.M)
        told = services[name]["command"]  # newer versions list the words
        assert same_command(stated) == same_command(told if isinstance(told, str) else " ".join(told)), name
        given = services[name]["environment"]
        assert [k for k, v in expected.items() if k != "PWD" and given.get(k) != v] == ["RESTAGE_POSTGRES"]
        assert given["RESTAGE_POSTGRES"] == "postgresql+psycopg2://restage@postgres:5432/restage"


def test_a_look_into_the_inbox_may_take_as_long_as_with_restage_watch() -> None:
    from pipelines.orchestration.serve import LOOK_SECONDS

    given = settings(home="/srv/restage/study", socket="/var/run/postgresql")
    assert given["DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"] == LOOK_SECONDS
    for name in ("code", "daemon", "webserver", "viewer"):
        text = (DEPLOY / "systemd" / f"restage-{name}.service").read_text()
        assert "\nEnvironmentFile=/etc/restage/restage.env\n" in text, name


def test_containers_write_into_the_home_and_nginx_sees_its_reports_alone(tmp_path: Path) -> None:
    """An empty volume takes over the folder of the image with its owner: one that is not there would be root's."""
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    places = {name: [str(v).split(":")[1] for v in s.get("volumes", ())] for name, s in services.items()}
    ours = set(places["code"])
    assert ours == set(places["daemon"]) == set(places["webserver"]) == set(places["viewer"])
    assert [p for p in places["nginx"] if p.startswith("/srv")] == ["/srv/restage/study/reports"]
    image = (DEPLOY / "compose" / "Dockerfile").read_text().replace("\\\n", "")
    (made,) = [line for line in re.findall(r"^RUN (.*)$", image, re.M) if "/srv/restage" in line]
    assert image.index(made) < image.index("\nUSER restage")
    owner = "-o restage -g restage"
    for install in made.split("&&"):
        assert owner in install, install
    words = made.replace(owner, "").replace("/srv/restage", str(tmp_path))
    subprocess.run(["sh", "-ec", words], cwd=study.ROOT, check=True)
    modes = {path: (tmp_path / Path(path).relative_to("/srv/restage")).stat().st_mode & 0o777 for path in ours}
    assert modes == {"/srv/restage/study": 0o700, "/srv/restage/study/reports": 0o755}
    assert (tmp_path / "study/dagster/dagster.yaml").read_text() == (DEPLOY / "dagster.yaml").read_text()


def test_a_delivery_gets_in_and_a_backup_out_by_the_how_tos_lines(tmp_path: Path) -> None:
    """The lines as they stand, with a Compose and a sudo that start the command here."""
    page = (study.ROOT / "docs" / "how-to" / "server.md").read_text()
    deliver = re.findall(r"^    (tar .*inbox/.*)$", page, re.M)
    assert [word in line for line, word in zip(deliver, ("sudo -u restage", "docker-compose"), strict=True)] == [
        True
    ] * 2
    (keep,) = re.findall(r"^    (docker-compose .*restage backup.*)$", page, re.M)
    (tmp_path / "DELIVERY").mkdir()
    (tmp_path / "DELIVERY" / "patients.csv").write_text("invented\n")
    for name, last in (("docker-compose", "code"), ("sudo", "restage")):
        (tmp_path / name).write_text(f'#!/bin/sh\nwhile [ "$1" != {last} ]; do shift; done\nshift\nexec "$@"\n')
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}", "RESTAGE_HOME": str(tmp_path / "home")}

    def said(line: str) -> None:
        places = {"--to /backups": f"--to {tmp_path}/backups", "/srv/restage/study": env["RESTAGE_HOME"]}
        for old, new in places.items():
            line = line.replace(old, new)
        subprocess.run(["sh", "-ec", line], cwd=tmp_path, env=env, check=True, capture_output=True)

    taken = tmp_path / "home" / "inbox" / "me1"
    for line in deliver:
        (tmp_path / "home").mkdir()
        said(line)
        assert [p.relative_to(taken).as_posix() for p in taken.rglob("*")] == ["2026-11-30", "2026-11-30/patients.csv"]
        shutil.rmtree(tmp_path / "home")
    (tmp_path / "home" / "archive").mkdir(parents=True)
    (tmp_path / "home" / "archive" / "ledger.jsonl").touch()
    said(keep)
    assert len(list((tmp_path / "backups").iterdir())) == 1


def unit_line(name: str) -> list[str]:
    return re.findall(r"^ExecStart=(.*)$", (DEPLOY / "systemd" / f"restage-{name}.service").read_text(), re.M)


def same_command(text: str) -> str:
    """A command without what differs between one machine and containers: addresses and the place of the workspace."""
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"-h \S+", "-h HOST", re.sub(r"-w \S+", "-w WORKSPACE", text))


@pytest.mark.parametrize("version", ["Python 3.13.5", "missing"])
def test_a_machine_without_a_python_that_fits_is_told_what_it_has_and_what_to_do(version: str, tmp_path: Path) -> None:
    make = needed("make")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(study.ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    if version != "missing":
        python = tmp_path / "bin" / "python3"
        python.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {version} || exit 1\n')
        python.chmod(0o755)
    env = {"PATH": str(tmp_path / "bin")}
    done = subprocess.run([make, "setup"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"(python3 is {version})" in done.stderr
    assert "uv python install 3.12" in done.stderr


def test_secrets_are_in_files_that_are_never_committed() -> None:
    assert "secrets/" in (DEPLOY / "compose" / ".gitignore").read_text().split()
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            assert not re.search(r"(?i)password\s*[:=]\s*[\"']?[\w-]{4,}[\"']?$", path.read_text(), re.M), path
