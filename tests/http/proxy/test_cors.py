"""Pages in a browser: the proxy answers their preflights, and lets a page that is allowed read the answers."""

from __future__ import annotations

from tests.http.proxied import EMPTY, answering, proxied, run


def test_a_browsers_question_is_answered_here_and_its_page_may_read_the_answer() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY), origins=["https://app.example"]) as setup:
            asks = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type, mcp-name")
            answer = await setup.ask("OPTIONS", "/mcp", b"", "Origin: https://app.example", *asks)
            assert (answer.status, setup.behind.got) == (204, [])
            assert answer.header("access-control-allow-origin") == "https://app.example"
            assert answer.header("access-control-allow-headers") == "content-type, mcp-name"
            assert (await setup.ask("OPTIONS", "/mcp", b"", "Origin: https://evil.example", *asks)).status == 403
            called = await setup.ask("POST", "/mcp", b"{}", "Origin: https://app.example")
            assert called.header("access-control-allow-origin") == "https://app.example"
            assert (await setup.ask("OPTIONS", "/mcp")).status == 200  # no browser's question: the server's to answer

    run(scenario())


def test_a_server_that_speaks_of_origins_itself_is_left_alone() -> None:
    response = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n"

    async def scenario() -> None:
        async with proxied(answering(lambda _: response)) as setup:
            answer = await setup.raw(
                b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n\r\n"
            )
            assert answer.lower().count(b"access-control-allow-origin") == 1

    run(scenario())
