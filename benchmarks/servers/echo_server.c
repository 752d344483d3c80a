/*
 * An MCP server on stdio that costs next to nothing, so that what stands in front of it is what gets measured.
 *
 * It reads newline-delimited JSON-RPC, answers each request with the very bytes of its id, collects the answers to one
 * read into one write, and ignores notifications. A tools/call is answered as its arguments ask:
 *   "size": N            a result whose text holds N bytes
 *   "fail": "tool"       a result with isError true
 *   "fail": "protocol"   a JSON-RPC error
 * It trusts its input to be JSON objects, one a line; lines may be of any length.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    READ_SIZE = 1 << 20,     /* grows for a longer line */
    OUTPUT_SIZE = 1 << 18,   /* answers are written when it is full, or when the input of one read is used up */
    LARGEST_SMALL = 1 << 12, /* a longer text is written from where it lies, without a copy */
};

typedef struct {
    const char *at;
    size_t length;
} Span;

static char output[OUTPUT_SIZE];
static size_t output_used;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void write_all(const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t done = write(STDOUT_FILENO, bytes, length);
        if (done < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};
            poll(&ready, 1, -1);
            continue;
        }
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) die("echo_server: write");
        bytes += done;
        length -= (size_t)done;
    }
}

static void flush(void) {
    write_all(output, output_used);
    output_used = 0;
}

static void put(const char *bytes, size_t length) {
    if (length > OUTPUT_SIZE - output_used) flush();
    if (length > OUTPUT_SIZE) {
        write_all(bytes, length);
        return;
    }
    memcpy(output + output_used, bytes, length);
    output_used += length;
}

static void put_text(const char *text) { put(text, strlen(text)); }

/* ---- just enough JSON: find a member of an object without looking inside the others ---- */

static const char *after_string(const char *at, const char *end) { /* `at` is the opening quote */
    for (at++; at < end; at++) {
        at = memchr(at, '"', (size_t)(end - at));
        if (at == NULL) return end;
        const char *slash = at;
        while (slash[-1] == '\\') slash--;
        if ((at - slash) % 2 == 0) return at + 1;
    }
    return end;
}

static const char *after_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r')) at++;
    return at;
}

static const char *after_value(const char *at, const char *end) {
    int depth = 0;
    while (at < end) {
        switch (*at) {
        case '"':
            at = after_string(at, end);
            if (depth == 0) return at;
            continue;
        case '{': case '[':
            depth++;
            break;
        case '}': case ']':
            if (depth == 0) return at;
            if (--depth == 0) return at + 1;
            break;
        case ',': case ' ':
            if (depth == 0) return at;
            break;
        }
        at++;
    }
    return end;
}

/* Fills `values[i]` with the bytes of the member named `names[i]`; what is absent stays empty. */
static void members(Span object, int count, const char *const names[], Span values[]) {
    const char *end = object.at + object.length;
    const char *at = after_space(object.at, end);
    for (int i = 0; i < count; i++) values[i] = (Span){"", 0};
    if (at >= end || *at != '{') return;
    at = after_space(at + 1, end);
    while (at < end && *at == '"') {
        const char *key = at + 1;
        at = after_string(at, end);
        size_t key_length = (size_t)(at - 1 - key);
        at = after_space(at, end);
        at = after_space(at + 1, end); /* the colon */
        const char *value = at;
        at = after_value(at, end);
        for (int i = 0; i < count; i++)
            if (strlen(names[i]) == key_length && memcmp(names[i], key, key_length) == 0)
                values[i] = (Span){value, (size_t)(at - value)};
        at = after_space(at, end);
        if (at < end && *at == ',') at = after_space(at + 1, end);
    }
}

static bool is(Span value, const char *json) {
    return value.length == strlen(json) && memcmp(value.at, json, value.length) == 0;
}

/* ---- answers ---- */

static const char LINE[] = "The quick brown fox jumps over the lazy dog, then does it again\\n";
static const size_t LINE_LENGTH = sizeof LINE - 1;

/* Prose with a line break now and then, as the text of a file would have. */
static const char *prose(size_t length) {
    static char *text;
    static size_t have;
    if (length > have) {
        text = realloc(text, length + LINE_LENGTH);
        if (text == NULL) die("echo_server: memory");
        for (size_t at = 0; at < length; at += LINE_LENGTH) memcpy(text + at, LINE, LINE_LENGTH);
        have = length;
    }
    return text;
}

static void put_prose(size_t length) {
    bool splits_an_escape = length % LINE_LENGTH == LINE_LENGTH - 1; /* would end between the backslash and the n */
    const char *text = prose(length);
    size_t whole = splits_an_escape ? length - 1 : length;
    if (whole > LARGEST_SMALL) {
        flush();
        write_all(text, whole);
    } else if (whole > 0) {
        put(text, whole);
    }
    if (splits_an_escape) put_text(".");
}

static void answer_call(Span id, Span params) {
    static const char *const of_params[] = {"arguments"};
    static const char *const of_arguments[] = {"size", "fail"};
    Span arguments, asked[2];
    members(params, 1, of_params, &arguments);
    members(arguments, 2, of_arguments, asked);
    put_text("{\"jsonrpc\":\"2.0\",\"id\":");
    put(id.at, id.length);
    if (is(asked[1], "\"protocol\"")) {
        put_text(",\"error\":{\"code\":-32000,\"message\":\"failed on request\"}}\n");
        return;
    }
    put_text(",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"");
    if (asked[0].length > 0)
        put_prose(strtoull(asked[0].at, NULL, 10));
    else
        put_text("ok");
    put_text(is(asked[1], "\"tool\"") ? "\"}],\"isError\":true}}\n" : "\"}]}}\n");
}

static void answer(Span line) {
    static const char *const of_message[] = {"id", "method", "params"};
    static const char *const of_initialize[] = {"protocolVersion"};
    Span message[3];
    members(line, 3, of_message, message);
    Span id = message[0], method = message[1], params = message[2];
    if (id.length == 0 || method.length == 0) return;
    if (is(method, "\"tools/call\"")) {
        answer_call(id, params);
        return;
    }
    put_text("{\"jsonrpc\":\"2.0\",\"id\":");
    put(id.at, id.length);
    if (is(method, "\"initialize\"")) {
        Span version;
        members(params, 1, of_initialize, &version);
        put_text(",\"result\":{\"protocolVersion\":");
        put(version.at, version.length);
        put_text(version.length == 0 ? "\"2025-06-18\"" : "");
        put_text(",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"echo\",\"version\":\"1\"}}}\n");
    } else if (is(method, "\"tools/list\"")) {
        put_text(",\"result\":{\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}]}}\n");
    } else if (is(method, "\"ping\"")) {
        put_text(",\"result\":{}}\n");
    } else {
        put_text(",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}\n");
    }
}

int main(void) {
    size_t size = READ_SIZE, used = 0;
    char *input = malloc(size);
    if (input == NULL) die("echo_server: memory");
    for (;;) {
        if (used == size) {
            size *= 2;
            input = realloc(input, size);
            if (input == NULL) die("echo_server: memory");
        }
        ssize_t got = read(STDIN_FILENO, input + used, size - used);
        if (got < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
            poll(&ready, 1, -1);
            continue;
        }
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) die("echo_server: read");
        if (got == 0) return 0;
        char *line = input, *fresh = input + used, *end = fresh + got;
        for (char *newline; (newline = memchr(fresh, '\n', (size_t)(end - fresh))) != NULL; fresh = line) {
            answer((Span){line, (size_t)(newline - line)});
            line = newline + 1;
        }
        flush();
        used = (size_t)(end - line);
        memmove(input, line, used);
    }
}
