/*
 * The client side of a measurement: writes requests to one descriptor, reads replies from another, prints figures.
 *
 *   driver roundtrip READ WRITE FIRST_ID WARMUP COUNT        one call at a time
 *   driver pipelined READ WRITE FIRST_ID WARMUP COUNT        a writing and a reading thread, one write a call
 *   driver large     READ WRITE FIRST_ID SIZE COUNT          results of SIZE bytes, one at a time
 *   driver batches   READ WRITE FIRST_ID COUNT BATCH ERROR_EVERY
 *                    BATCH calls written at once, then their replies read; every ERROR_EVERY-th call is asked to fail,
 *                    by turns as a tool and as JSON-RPC; 0: none is
 *
 * It starts nothing. It prints one line of `name value` pairs, times in nanoseconds, and exits 1 with a sentence if a
 * reply is lost, doubled, of the wrong kind or too short. Lines without an id (a peer's log notifications) are skipped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TIME_LIMIT_S = 300,      /* a peer that loses a reply must not hang the benchmark */
    READ_SIZE = 1 << 18,
    LONGEST_REQUEST = 256,
    HEAD = 512,              /* where a reply's id and kind are looked for */
    TAIL = 64,               /* and where isError may stand after a long text */
};

typedef enum { RESULT, TOOL_ERROR, PROTOCOL_ERROR } Kind;

static int source, sink;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("driver: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void write_all(const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t done = write(sink, bytes, length);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) fail("cannot write a request: %s", strerror(errno));
        bytes += done;
        length -= (size_t)done;
    }
}

static size_t read_some(char *into, size_t room) {
    for (;;) {
        ssize_t got = read(source, into, room);
        if (got > 0) return (size_t)got;
        if (got == 0) fail("the peer closed its output");
        if (errno != EINTR) fail("cannot read a reply: %s", strerror(errno));
    }
}

/* ---- requests ---- */

static char *put(char *at, const char *text) {
    size_t length = strlen(text);
    memcpy(at, text, length);
    return at + length;
}

static char *put_number(char *at, uint64_t number) {
    char digits[20];
    int count = 0;
    do digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0) *at++ = digits[--count];
    return at;
}

static char *put_request(char *at, uint64_t id, const char *arguments) {
    at = put(at, "{\"jsonrpc\":\"2.0\",\"id\":");
    at = put_number(at, id);
    at = put(at, ",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{");
    at = put(at, arguments);
    return put(at, "}}}\n");
}

static const char SMALL[] = "\"text\":\"hello\"";

/* ---- replies ---- */

typedef struct {
    uint64_t id;
    Kind kind;
    size_t length; /* of the whole line */
} Reply;

static char input[READ_SIZE];
static char *input_at = input, *input_end = input;

/* Reads the next line that has an id. Of a long line only the head and the tail are kept. */
static Reply next_reply(void) {
    static char head[HEAD + TAIL];
    for (;;) {
        size_t kept = 0, length = 0;
        char tail[TAIL];
        size_t tail_length = 0;
        char *newline;
        do {
            if (input_at == input_end) {
                input_at = input;
                input_end = input + read_some(input, READ_SIZE);
            }
            newline = memchr(input_at, '\n', (size_t)(input_end - input_at));
            size_t part = (size_t)((newline ? newline : input_end) - input_at);
            size_t for_head = part < HEAD - kept ? part : HEAD - kept;
            memcpy(head + kept, input_at, for_head);
            kept += for_head;
            size_t rest = part - for_head;
            if (rest >= TAIL) {
                memcpy(tail, input_at + part - TAIL, TAIL);
                tail_length = TAIL;
            } else if (rest > 0) {
                size_t old = tail_length < TAIL - rest ? tail_length : TAIL - rest;
                memmove(tail, tail + tail_length - old, old);
                memcpy(tail + old, input_at + for_head, rest);
                tail_length = old + rest;
            }
            length += part;
            input_at += part + (newline != NULL);
        } while (newline == NULL);
        memcpy(head + kept, tail, tail_length);
        kept += tail_length;
        const char *id = memmem(head, kept, "\"id\":", 5);
        if (id == NULL) continue;
        head[kept < sizeof head ? kept : sizeof head - 1] = '\0';
        Reply reply = {.id = strtoull(id + 5, NULL, 10), .kind = RESULT, .length = length};
        if (memmem(head, kept, "\"result\":", 9) == NULL)
            reply.kind = PROTOCOL_ERROR;
        else if (memmem(head, kept, "\"isError\":true", 14) != NULL)
            reply.kind = TOOL_ERROR;
        return reply;
    }
}

static Reply expect(uint64_t id) {
    Reply reply = next_reply();
    if (reply.id != id) fail("a reply to call %llu came for call %llu", (unsigned long long)reply.id, (unsigned long long)id);
    if (reply.kind != RESULT) fail("call %llu failed", (unsigned long long)id);
    return reply;
}

/* ---- measurements ---- */

static int by_value(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void roundtrip(uint64_t id, uint64_t warmup, uint64_t count) {
    uint64_t *times = malloc(count * sizeof *times);
    char request[LONGEST_REQUEST];
    for (uint64_t i = 0; i < warmup + count; i++, id++) {
        size_t length = (size_t)(put_request(request, id, SMALL) - request);
        uint64_t start = now();
        write_all(request, length);
        expect(id);
        if (i >= warmup) times[i - warmup] = now() - start;
    }
    qsort(times, count, sizeof *times, by_value);
    printf("p50 %llu p99 %llu\n", (unsigned long long)times[count / 2], (unsigned long long)times[count * 99 / 100]);
}

typedef struct {
    uint64_t first, count;
} Run;

static void *write_calls(void *of) {
    const Run *run = of;
    char request[LONGEST_REQUEST];
    for (uint64_t i = 0; i < run->count; i++)
        write_all(request, (size_t)(put_request(request, run->first + i, SMALL) - request));
    return NULL;
}

static uint64_t pipeline(uint64_t first, uint64_t count) {
    Run run = {first, count};
    uint64_t sum = 0, expected = count * first + count * (count - 1) / 2, start = now();
    pthread_t writer;
    if (pthread_create(&writer, NULL, write_calls, &run) != 0) fail("cannot start a thread");
    for (uint64_t i = 0; i < count; i++) {
        Reply reply = next_reply();
        if (reply.kind != RESULT) fail("call %llu failed", (unsigned long long)reply.id);
        sum += reply.id;
    }
    uint64_t took = now() - start;
    pthread_join(writer, NULL);
    if (sum != expected) fail("replies were lost, doubled or changed: their ids sum to %llu, not %llu",
                              (unsigned long long)sum, (unsigned long long)expected);
    return took;
}

static void pipelined(uint64_t first, uint64_t warmup, uint64_t count) {
    if (warmup > 0) pipeline(first, warmup);
    uint64_t took = pipeline(first + warmup, count);
    printf("calls %llu took %llu\n", (unsigned long long)count, (unsigned long long)took);
}

static void large(uint64_t id, uint64_t size, uint64_t count) {
    char request[LONGEST_REQUEST], arguments[64];
    snprintf(arguments, sizeof arguments, "\"size\":%llu", (unsigned long long)size);
    uint64_t start = now();
    for (uint64_t i = 0; i < count; i++, id++) {
        write_all(request, (size_t)(put_request(request, id, arguments) - request));
        Reply reply = expect(id);
        if (reply.length < size) fail("a result of %llu bytes came short", (unsigned long long)size);
    }
    printf("bytes %llu took %llu\n", (unsigned long long)(size * count), (unsigned long long)(now() - start));
}

static void batches(uint64_t id, uint64_t count, uint64_t batch, uint64_t error_every) {
    char *requests = malloc(batch * LONGEST_REQUEST);
    uint64_t asked[3] = {0}, got[3] = {0}, errors = 0, start = now();
    for (uint64_t sent = 0; sent < count;) {
        uint64_t size = count - sent < batch ? count - sent : batch, sum = 0;
        char *at = requests;
        for (uint64_t i = 0; i < size; i++, sent++, id++) {
            Kind kind = RESULT;
            if (error_every > 0 && (sent + 1) % error_every == 0) kind = errors++ % 2 == 0 ? TOOL_ERROR : PROTOCOL_ERROR;
            asked[kind]++;
            sum += id;
            at = put_request(at, id, kind == RESULT       ? SMALL
                                     : kind == TOOL_ERROR ? "\"fail\":\"tool\""
                                                          : "\"fail\":\"protocol\"");
        }
        write_all(requests, (size_t)(at - requests));
        for (uint64_t i = 0; i < size; i++) {
            Reply reply = next_reply();
            got[reply.kind]++;
            sum -= reply.id;
        }
        if (sum != 0) fail("replies were lost, doubled or changed");
    }
    for (int kind = RESULT; kind <= PROTOCOL_ERROR; kind++)
        if (asked[kind] != got[kind]) fail("asked for %llu replies of kind %d, got %llu", (unsigned long long)asked[kind],
                                           kind, (unsigned long long)got[kind]);
    printf("successes %llu errors %llu took %llu\n", (unsigned long long)got[RESULT],
           (unsigned long long)(got[TOOL_ERROR] + got[PROTOCOL_ERROR]), (unsigned long long)(now() - start));
}

int main(int argc, char **argv) {
    if (argc < 7) fail("six arguments at least; see the head of driver.c");
    uint64_t numbers[4] = {0};
    source = atoi(argv[2]);
    sink = atoi(argv[3]);
    for (int i = 4; i < argc && i < 8; i++) numbers[i - 4] = strtoull(argv[i], NULL, 10);
    alarm(TIME_LIMIT_S);
    if (strcmp(argv[1], "roundtrip") == 0)
        roundtrip(numbers[0], numbers[1], numbers[2]);
    else if (strcmp(argv[1], "pipelined") == 0)
        pipelined(numbers[0], numbers[1], numbers[2]);
    else if (strcmp(argv[1], "large") == 0)
        large(numbers[0], numbers[1], numbers[2]);
    else if (strcmp(argv[1], "batches") == 0)
        batches(numbers[0], numbers[1], numbers[2], numbers[3]);
    else
        fail("no such measurement: %s", argv[1]);
    return 0;
}
