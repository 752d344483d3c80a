"""The tests themselves: Windows can collect each of them, and each can fail."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TESTS = Path(__file__).parent
MODULES = {path.relative_to(TESTS).as_posix(): ast.parse(path.read_text("utf-8")) for path in TESTS.rglob("*.py")}

POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
POSIX_MODULES |= {f"thv.process.{name}" for name in ("orphans", "posix", "watchdog")}

POSIX_NAMES = {
    "os": re.findall(
        r"\w+",
        """WNOHANG O_NONBLOCK O_NOCTTY chown fork forkpty getegid geteuid getgid getgroups getpgid getpgrp getpriority
        getresuid getsid getuid killpg lchown login_tty mkfifo mknod nice openpty pathconf pidfd_open posix_spawn
        sched_getaffinity setpgid setsid setuid sync sysconf tcgetpgrp ttyname uname wait3 wait4 waitid""",
    ),
    "signal": re.findall(
        r"\w+",
        """SIGALRM SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGUSR1 SIGUSR2
        SIGWINCH SIGXFSZ alarm pause pthread_kill setitimer sigwait""",
    ),
    "socket": ["AF_UNIX", "AF_VSOCK", "sethostname"],
}
"""What Windows has not, by module."""


def is_guard(statement: ast.stmt) -> bool:
    """Whether what stands below it is not executed on Windows: `pytest.importorskip` of a POSIX module."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "importorskip"
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value in POSIX_MODULES
        for node in ast.walk(statement)
    )


def asks_for_the_system(condition: ast.expr) -> bool:
    text = ast.unparse(condition)
    return "sys.platform" in text or "hasattr(" in text or "TYPE_CHECKING" in text


def executed_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What importing executes: no body of a function, and nothing behind a question for the system."""
    yield node
    below: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        below = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
    elif isinstance(node, ast.Lambda):
        below = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    elif (isinstance(node, ast.If | ast.IfExp) and asks_for_the_system(node.test)) or (
        isinstance(node, ast.BoolOp) and any(map(asks_for_the_system, node.values))
    ):
        below = []
    for each in below:
        yield from executed_at_import(each)


def only_on_posix(tree: ast.Module) -> Iterator[str]:
    """What a module needs that Windows has not, before it is skipped there."""
    for statement in tree.body:
        if is_guard(statement):
            return
        for node in executed_at_import(statement):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names if alias.name in POSIX_MODULES]
            elif isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
                found = sorted(names & POSIX_MODULES)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found = [ast.unparse(node)] if node.attr in POSIX_NAMES.get(node.value.id, ()) else []
            else:
                continue
            yield from (f"{name}, line {getattr(node, 'lineno', 0)}" for name in found)


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("e2e/servers/")])
def test_windows_can_import_it(module: str) -> None:
    assert list(only_on_posix(MODULES[module])) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pty", ["pty, line 1"]),
        ("import os, pty as p", ["pty, line 1"]),
        ("from thv.process import posix", ["thv.process.posix, line 1"]),
        ("from thv.process.posix import ServerProcess", ["thv.process.posix, line 1"]),
        ("@pytest.mark.skipif(os.getuid() == 0)\ndef test(): ...", ["os.getuid, line 1"]),
        ("NUMBERS = [signal.SIGINT, signal.SIGKILL]", ["signal.SIGKILL, line 1"]),
        ("class A:\n    number = signal.SIGHUP", ["signal.SIGHUP, line 2"]),
        ("def f(number=signal.SIGHUP): ...", ["signal.SIGHUP, line 1"]),
        ("def f():\n    import pty\n    os.getuid()", []),
        ("pytest.importorskip('fcntl', reason='x')\nimport pty", []),
        ("pty = pytest.importorskip('pty')\nos.getuid()", []),
        ("import pty\npytest.importorskip('fcntl')", ["pty, line 1"]),
        ("USER = os.getuid() if hasattr(os, 'getuid') else 0", []),
        ("ROOT = sys.platform != 'win32' and os.getuid() == 0", []),
        ("if sys.platform != 'win32':\n    import pty", []),
    ],
)
def test_what_windows_has_not_is_found(source: str, found: list[str]) -> None:
    assert list(only_on_posix(ast.parse(source))) == found


def asks_what_may_end_meanwhile(node: ast.AST) -> bool:
    """Whether it asks for what may end before the answer: the state of a process, or its threads."""
    if isinstance(node, ast.JoinedStr):
        return ast.unparse(node).strip("'\"").endswith("/task")
    return isinstance(node, ast.Attribute) and node.attr == "STATUS_ZOMBIE"


@pytest.mark.parametrize("module", [name for name in MODULES if name != "processes.py"])
def test_what_may_end_meanwhile_is_looked_at_in_one_place(module: str) -> None:
    assert [ast.unparse(node) for node in ast.walk(MODULES[module]) if asks_what_may_end_meanwhile(node)] == []


@pytest.mark.parametrize("source", ["p.status() == psutil.STATUS_ZOMBIE", "Path(f'/proc/{pid}/task').iterdir()"])
def test_what_may_end_meanwhile_is_found(source: str) -> None:
    assert any(map(asks_what_may_end_meanwhile, ast.walk(ast.parse(source))))


def without_an_assertion(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The tests that assert nothing themselves, and expect no error."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_"):
            asserts = (
                isinstance(node, ast.Assert)
                or (isinstance(node, ast.Attribute) and ast.unparse(node) in {"pytest.raises", "pytest.fail"})
                for node in ast.walk(function)
            )
            if not any(asserts):
                yield function


@pytest.mark.parametrize("module", [name for name in MODULES if name.rpartition("/")[2].startswith("test_")])
def test_a_test_without_an_assertion_says_what_fails_it(module: str) -> None:
    silent = [
        function.name
        for function in without_an_assertion(MODULES[module])
        if not (ast.get_docstring(function) or "").startswith("Fails ")
    ]
    assert silent == []


def test_an_assertion_is_found_where_there_is_one() -> None:
    source = """
def test_a(): assert 1
def test_b():
    with pytest.raises(ValueError): f()
def test_c(): f()
def test_d():
    def inner(): assert 1
    inner()
async def test_e(): await f()
def helper(): f()
"""
    assert [function.name for function in without_an_assertion(ast.parse(source))] == ["test_c", "test_e"]


PAUSE = re.compile(r"\bpause\(\)")
HANDLER = re.compile(r"\bsignal\.signal\((?!.*\bSIG_(?:IGN|DFL)\b)")
BLOCKING_READ = re.compile(r"\bin sys\.stdin\b|\bstdin\.(?:buffer\.)?read|\binput\(")


def sleeps_through_signals(program: str) -> bool:
    """Whether a signal that comes just before a program sleeps, or reads, may be heard too late, or never."""
    reads = BLOCKING_READ.search(program) or ("os.read(0" in program and "select.select(" not in program)
    return PAUSE.search(program) is not None or (HANDLER.search(program) is not None and bool(reads))


def programs(module: str) -> Iterator[str]:
    """What a module of tests starts: its texts, or the module itself where it is a server."""
    if module.startswith("servers/") or "/servers/" in module:
        yield (TESTS / module).read_text("utf-8")
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("module", MODULES)
def test_no_server_of_a_test_may_sleep_through_a_signal(module: str) -> None:
    """Python handles it when it wakes up, so it looks for input with `select`, and never for long."""
    if (TESTS / module) != Path(__file__):
        assert not [program for program in programs(module) if sleeps_through_signals(program)]


@pytest.mark.parametrize(
    ("program", "sleeps"),
    [
        ("signal.pause()", True),
        ("signal.signal(2, end)\nfor line in sys.stdin: pass", True),
        ("signal.signal(2, end)\nsys.stdin.buffer.readline()", True),
        ("signal.signal(2, lambda *_: os._exit(6))\nos.read(0, 1)", True),
        ("signal.signal(2, end)\nwhile not select.select([0], [], [], 0.05)[0]: pass\nos.read(0, 1)", False),
        ("signal.signal(2, signal.SIG_IGN)\nfor line in sys.stdin: pass", False),
        ("signal.signal(2, end)\nwhile True: time.sleep(0.05)", False),
        ("for line in sys.stdin: pass", False),
    ],
)
def test_what_may_sleep_through_a_signal_is_found(program: str, sleeps: bool) -> None:
    assert sleeps_through_signals(program) is sleeps


def ports_that_are_let_go(module: ast.Module) -> Iterator[str]:
    """Names of ports that the system gave to a socket which is closed before the port is used."""
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for held in ast.walk(function):
            if not isinstance(held, ast.With) or not re.search(r"socket\(|create_server\(", ast.unparse(held.items[0])):
                continue
            names = {
                ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
                for node in ast.walk(held)
                if isinstance(node, ast.Assign | ast.AnnAssign) and "getsockname" in ast.unparse(node)
            }
            asserted = {node for one in ast.walk(function) if isinstance(one, ast.Assert) for node in ast.walk(one)}
            for node in set(ast.walk(function)) - asserted:
                is_later = isinstance(node, ast.Name) and node.id in names and node.lineno > (held.end_lineno or 0)
                if is_later or (isinstance(node, ast.Return) and node in ast.walk(held) and returns_port(node, names)):
                    yield ast.unparse(node)


def returns_port(statement: ast.Return, names: set[str]) -> bool:
    words = ast.unparse(statement)
    return "getsockname" in words or bool(names & set(re.findall(r"\w+", words)))


@pytest.mark.parametrize("module", MODULES)
def test_no_test_names_a_port_that_the_system_may_give_to_another(module: str) -> None:
    """`tests.ports` gives ports that stay free."""
    assert not list(ports_that_are_let_go(MODULES[module]))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("with socket.socket() as s:\n  s.bind(A)\n  return int(s.getsockname()[1])", True),
        ("with closing(socket.create_server(A)) as s:\n  port: int = s.getsockname()[1]\n  return port", True),
        ("with socket.create_server(A) as s:\n  port = s.getsockname()[1]\nuse(port)", True),
        ("with socket.create_server(A) as s:\n  port = s.getsockname()[1]\n  use(port)", False),
        ("with socket.create_server(A) as s:\n  port = s.getsockname()[1]\n  use(port)\nassert port", False),
    ],
)
def test_a_port_that_is_let_go_is_found(body: str, found: bool) -> None:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    assert bool(list(ports_that_are_let_go(ast.parse(f"def f():\n{lines}")))) is found
