"""Every MCP client thv knows: which files it keeps its servers in, under which key, and how an entry is written.

Data only, one row a client. A new client is a new row; `thv.clients.client_file_locations` says what the placeholders
stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thv.clients.documents.nodes import ANY

if TYPE_CHECKING:
    from thv.clients.documents.nodes import Pattern

JSON, TOML, YAML = "json", "toml", "yaml"

LINUX, MACOS, WINDOWS = "linux", "darwin", "win32"
"""As `sys.platform` has them."""

AMP_KEY: Final = "amp.mcpServers"

EVERYWHERE: Final = (LINUX, MACOS, WINDOWS)
UNIX: Final = (LINUX, MACOS)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a client keeps a file of the user's.

    Attributes:
        path: with placeholders in braces; ``*`` stands for any folder.
        systems: the values of `sys.platform` it is for.
        variable: an environment variable that names another folder for the file of this name.
        marker: what the file must contain to be this client's: it is another program's, too.
    """

    path: str
    systems: tuple[str, ...] = EVERYWHERE
    variable: str | None = None
    marker: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """One client.

    Attributes:
        id: what the command line calls it.
        title: what people call it.
        locations: the user's files.
        servers: patterns of keys that lead to the servers.
        syntax: the format of the files.
        project: its files in the folder of a project.
        project_if_marked: more of them, which are this client's only if they contain the key of its servers.
        program: the key of the command in an entry.
        takes_list: the command may be a list of the program and its arguments.
        takes_object: the command may be an object with `path` and `args`.
        named_inside: the servers are a list, and each says its name itself.
        is_strict: the client refuses comments and trailing commas; False where it takes them or nothing is known.
        has_window: it is started from the desktop, and has the PATH of the desktop rather than that of a shell.
        lock: what is added to the name of the user's file for the folder by which the client locks it while it reads,
            changes and writes it; empty if it does not.
        aliases: further names for the command line.
    """

    id: str
    title: str
    locations: tuple[Location, ...]
    servers: tuple[Pattern, ...] = (("mcpServers",),)
    syntax: str = JSON
    project: tuple[str, ...] = ()
    project_if_marked: tuple[str, ...] = ()
    program: str = "command"
    takes_list: bool = False
    takes_object: bool = False
    named_inside: bool = False
    is_strict: bool = False
    has_window: bool = False
    lock: str = ""
    aliases: tuple[str, ...] = ()


def _in_code(path: str, marker: str = "") -> tuple[Location, ...]:
    """A file in the user's folder of VS Code and of what is built from it."""
    products = ("Code", "Code - Insiders", "VSCodium")
    return tuple(Location(f"{{config}}/{product}/User/{path}", marker=marker) for product in products)


CLIENTS: Final = (
    Client(
        "claude-desktop",
        "Claude Desktop",
        (
            Location("{config}/Claude/claude_desktop_config.json"),
            Location("{local}/Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json", (WINDOWS,)),
        ),
        is_strict=True,
        has_window=True,
    ),
    Client(
        "claude-code",
        "Claude Code",
        (Location("{home}/.claude.json", variable="CLAUDE_CONFIG_DIR"),),
        servers=(("mcpServers",), ("projects", ANY, "mcpServers")),
        project=(".mcp.json",),
        is_strict=True,
        lock=".lock",
        aliases=("claude",),
    ),
    Client("cursor", "Cursor", (Location("{home}/.cursor/mcp.json"),), project=(".cursor/mcp.json",), has_window=True),
    Client(
        "vscode",
        "VS Code",
        (*_in_code("mcp.json"), *_in_code("profiles/*/mcp.json")),
        servers=(("servers",),),
        project=(".vscode/mcp.json",),
        has_window=True,
        aliases=("vs-code", "code"),
    ),
    Client(
        "codex",
        "Codex",
        (Location("{home}/.codex/config.toml", variable="CODEX_HOME"),),
        servers=(("mcp_servers",),),
        syntax=TOML,
        project=(".codex/config.toml",),
    ),
    Client(
        "gemini-cli",
        "Gemini CLI",
        (Location("{home}/.gemini/settings.json"),),
        project=(".gemini/settings.json",),
        aliases=("gemini",),
    ),
    Client("windsurf", "Windsurf", (Location("{home}/.codeium/windsurf/mcp_config.json"),), has_window=True),
    Client(
        "cline",
        "Cline",
        _in_code("globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"),
        is_strict=True,
        has_window=True,
    ),
    Client(
        "roo",
        "Roo Code",
        _in_code("globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"),
        project=(".roo/mcp.json",),
        is_strict=True,
        has_window=True,
        aliases=("roo-code",),
    ),
    Client(
        "zed",
        "Zed",
        (Location("{xdg}/zed/settings.json", UNIX), Location("{config}/Zed/settings.json", (WINDOWS,))),
        servers=(("context_servers",),),
        project=(".zed/settings.json",),
        takes_object=True,
        has_window=True,
    ),
    Client(
        "goose",
        "Goose",
        (
            Location("{xdg}/goose/config.yaml", UNIX),
            Location("{config}/Block/goose/config/config.yaml", (WINDOWS,)),
        ),
        servers=(("extensions",),),
        syntax=YAML,
        program="cmd",
    ),
    Client(
        "continue",
        "Continue",
        (Location("{home}/.continue/config.yaml", variable="CONTINUE_GLOBAL_DIR"),),
        syntax=YAML,
        project=(".continue/mcpServers/*.yaml", ".continue/mcpServers/*.yml"),
        named_inside=True,
        has_window=True,
    ),
    Client(
        "opencode",
        "OpenCode",
        (Location("{xdg}/opencode/opencode.json"), Location("{xdg}/opencode/opencode.jsonc")),
        servers=(("mcp",),),
        project=("opencode.json", "opencode.jsonc", ".opencode/opencode.json", ".opencode/opencode.jsonc"),
        takes_list=True,
    ),
    Client(
        "amp",
        "Amp",
        (
            Location("{xdg}/amp/settings.json"),
            Location("{xdg}/amp/settings.jsonc"),
            *_in_code("settings.json", AMP_KEY),
        ),
        servers=((AMP_KEY,),),
        project=(".amp/settings.json", ".amp/settings.jsonc"),
        project_if_marked=(".vscode/settings.json",),
    ),
    Client(
        "vibe",
        "Mistral Vibe",
        (Location("{home}/.vibe/config.toml", variable="VIBE_HOME"),),
        servers=(("mcp_servers",),),
        syntax=TOML,
        project=(".vibe/config.toml",),
        takes_list=True,
        named_inside=True,
        aliases=("mistral-vibe",),
    ),
    Client(
        "lm-studio",
        "LM Studio",
        (Location("{home}/.lmstudio/mcp.json"),),
        is_strict=True,
        has_window=True,
        aliases=("lmstudio",),
    ),
    Client(
        "kiro",
        "Kiro",
        (Location("{home}/.kiro/settings/mcp.json"),),
        project=(".kiro/settings/mcp.json",),
        has_window=True,
    ),
    Client(
        "copilot-cli",
        "Copilot CLI",
        (Location("{home}/.copilot/mcp-config.json", variable="COPILOT_HOME"),),
        aliases=("copilot",),
    ),
    Client("factory", "Factory", (Location("{home}/.factory/mcp.json"),), project=(".factory/mcp.json",)),
    Client("kimi", "Kimi", (Location("{home}/.kimi/mcp.json"),)),
    Client("antigravity", "Antigravity", (Location("{home}/.gemini/antigravity/mcp_config.json"),), has_window=True),
)
"""The clients, in the order in which they are shown."""

BY_NAME: Final = {name: client for client in CLIENTS for name in (client.id, *client.aliases)}

FOREIGN_KEYS: Final = (
    "mcpServers",
    "servers",
    "mcp_servers",
    "context_servers",
    "mcp",
    AMP_KEY,
    "mcp-servers",
)
"""Keys under which one client or another keeps servers: where a wrong one is looked for."""
