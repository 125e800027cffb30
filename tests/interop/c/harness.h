/* What the C client's tests stand on. A test is TEST(name) { … }; a check that fails ends it. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

#define LIMIT_MS 15000
#define SESSION_MS 10000

/* Registers itself before main runs. */
#define TEST(name)                                                                             \
    static void test_##name(void);                                                             \
    __attribute__((constructor)) static void add_##name(void) { add_test(#name, test_##name); } \
    static void test_##name(void)

void add_test(const char *name, void (*run)(void));

/* Ends the running test with a reason. */
__attribute__((noreturn, format(printf, 3, 4))) void fail(const char *file, int line, const char *why, ...);

#define CHECK(holds) \
    do { if (!(holds)) fail(__FILE__, __LINE__, "not so: %s", #holds); } while (0)
/* The call answers this code. */
#define CODE(expected, call)                                                                                \
    do {                                                                                                    \
        int code_ = (call);                                                                                 \
        if (code_ != (expected))                                                                            \
            fail(__FILE__, __LINE__, "%s: expected %s, found %s", #call, zerror(expected), zerror(code_));  \
    } while (0)
#define OK(call) CODE(ZOK, call)
#define SAME(found, expected)                                                                              \
    do {                                                                                                   \
        const char *found_ = (found), *expected_ = (expected);                                             \
        if (strcmp(found_, expected_) != 0)                                                                \
            fail(__FILE__, __LINE__, "%s: expected %s, found %s", #found, expected_, found_);              \
    } while (0)
/* Repeats what a lost connection may interrupt; any other error ends the test. */
#define AGAIN(call)                                                                       \
    do {                                                                                  \
        int tries_ = 0, again_;                                                           \
        while ((again_ = (call)) == ZCONNECTIONLOSS || again_ == ZOPERATIONTIMEOUT) {     \
            CHECK(tries_++ < LIMIT_MS / 20);                                              \
            pause_ms(20);                                                                 \
        }                                                                                 \
        if (again_ != ZOK) fail(__FILE__, __LINE__, "%s: %s", #call, zerror(again_));     \
    } while (0)
/* Waits until it holds, or ends the test. */
#define WAIT_UNTIL(holds)                                                                          \
    do {                                                                                           \
        for (int tries_ = 0; !(holds); tries_++) {                                                 \
            if (tries_ > LIMIT_MS / 20) fail(__FILE__, __LINE__, "waited in vain: %s", #holds);    \
            pause_ms(20);                                                                          \
        }                                                                                          \
    } while (0)

extern int server_port;

/* Between two looks at something that another thread changes. */
void pause_ms(int ms);

/* kill -9 of the server and a new start on its directory; returns once it serves again. */
void restart_server(void);

/* A client that is closed when the test ends. With a chroot, paths are below it. */
zhandle_t *connect_to(const char *chroot, const clientid_t *session);
static inline zhandle_t *connect_new(void) { return connect_to("", NULL); }

void close_now(zhandle_t *zh);

/* Leaves a session behind that nobody closed, with the ephemeral node `path`. */
clientid_t leave_session(const char *path);

/* A watcher that keeps what it is told; pass an Events as its context. */
typedef struct Events Events;
Events *new_events(void);
void note(zhandle_t *zh, int type, int state, const char *path, void *events);
/* The next event, as "changed /path". */
const char *next_event(Events *events);
int events_left(Events *events);

static inline int make(zhandle_t *zh, const char *path, const char *data) {
    return zoo_create(zh, path, data, (int)strlen(data), &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
}
static inline int put(zhandle_t *zh, const char *path, const char *data, int version) {
    return zoo_set(zh, path, data, (int)strlen(data), version);
}
/* A node's data as text, in a buffer that the next call reuses. */
const char *text_of(zhandle_t *zh, const char *path);
