/* Runs the C client's tests, one for each line "NAME PORT" on standard input; ../program.py has the other end. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#define MAX 64

int server_port;

static struct { const char *name; void (*run)(void); } tests[MAX];
static int test_count;
static zhandle_t *handles[MAX];
static int handle_count;
static jmp_buf end_of_test;
static const char *own_path;

struct Events {
    pthread_mutex_t lock;
    int count, taken;
    char text[MAX][256];
};
static Events event_lists[MAX];
static int event_list_count;

void add_test(const char *name, void (*run)(void)) {
    tests[test_count].name = name;
    tests[test_count++].run = run;
}

void fail(const char *file, int line, const char *why, ...) {
    va_list arguments;
    va_start(arguments, why);
    const char *name = strrchr(file, '/');
    printf("@failed %s:%d ", name ? name + 1 : file, line);
    vprintf(why, arguments);
    printf("\n");
    va_end(arguments);
    longjmp(end_of_test, 1);
}

void pause_ms(int ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

void restart_server(void) {
    char line[32];
    printf("@restart\n");
    CHECK(fgets(line, sizeof line, stdin) && strcmp(line, "done\n") == 0);
}

zhandle_t *connect_to(const char *chroot, const clientid_t *session) {
    char hosts[256];
    // Several times the same: each is given up after a part of the session's timeout.
    snprintf(hosts, sizeof hosts, "127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d%s", server_port, server_port, server_port, chroot);
    zhandle_t *zh = zookeeper_init(hosts, NULL, SESSION_MS, session, NULL, 0);
    CHECK(zh != NULL);
    handles[handle_count++] = zh;
    WAIT_UNTIL(zoo_state(zh) == ZOO_CONNECTED_STATE || is_unrecoverable(zh));
    return zh;
}

void close_now(zhandle_t *zh) {
    for (int i = 0; i < handle_count; i++) {
        if (handles[i] == zh) handles[i] = handles[--handle_count];
    }
    zookeeper_close(zh);
}

/* The other half of leave_session, in a process of its own: nothing else ends a session's client without closing it. */
static int leave(const char *port, const char *path) {
    server_port = atoi(port);
    zhandle_t *zh = connect_new();
    if (zoo_create(zh, path, "left", 4, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) != ZOK) return 1;
    fwrite(zoo_client_id(zh), sizeof(clientid_t), 1, stdout);
    fflush(stdout);
    _exit(0);
}

clientid_t leave_session(const char *path) {
    char command[512];
    clientid_t session;
    snprintf(command, sizeof command, "%s leave %d %s", own_path, server_port, path);
    FILE *child = popen(command, "r");
    CHECK(child && fread(&session, sizeof session, 1, child) == 1);
    CHECK(pclose(child) == 0);
    return session;
}

Events *new_events(void) {
    Events *events = &event_lists[event_list_count++];
    memset(events, 0, sizeof *events);
    pthread_mutex_init(&events->lock, NULL);
    return events;
}

void note(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh, (void)state;
    const char *name = type == ZOO_CREATED_EVENT ? "created"
        : type == ZOO_DELETED_EVENT              ? "deleted"
        : type == ZOO_CHANGED_EVENT              ? "changed"
        : type == ZOO_CHILD_EVENT                ? "child"
        : type == ZOO_NOTWATCHING_EVENT          ? "not watching"
                                                 : "session";
    // Every watcher is also told of the connection.
    if (type == ZOO_SESSION_EVENT) return;
    Events *events = context;
    pthread_mutex_lock(&events->lock);
    if (events->count < MAX) snprintf(events->text[events->count++], sizeof events->text[0], "%s %s", name, path);
    pthread_mutex_unlock(&events->lock);
}

int events_left(Events *events) {
    pthread_mutex_lock(&events->lock);
    int left = events->count - events->taken;
    pthread_mutex_unlock(&events->lock);
    return left;
}

const char *next_event(Events *events) {
    WAIT_UNTIL(events_left(events) > 0);
    return events->text[events->taken++];
}

const char *text_of(zhandle_t *zh, const char *path) {
    static char buffer[1024];
    int length = sizeof buffer - 1;
    AGAIN(zoo_get(zh, path, 0, buffer, &length, NULL));
    buffer[length < 0 ? 0 : length] = '\0';
    return buffer;
}

static void run(const char *name) {
    for (int i = 0; i < test_count; i++) {
        if (strcmp(tests[i].name, name) == 0) {
            tests[i].run();
            return;
        }
    }
    fail(__FILE__, __LINE__, "no test %s", name);
}

int main(int argc, char **argv) {
    own_path = argv[0];
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    // Lost connections are reported as errors, and here they are lost on purpose.
    zoo_set_log_stream(fopen("/dev/null", "w"));
    if (setjmp(end_of_test)) return 1;
    if (argc == 4 && strcmp(argv[1], "leave") == 0) return leave(argv[2], argv[3]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    char line[256], name[200];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%199s %d", name, &server_port) != 2) return 2;
        handle_count = event_list_count = 0;
        if (setjmp(end_of_test) == 0) {
            run(name);
            printf("@passed\n");
        }
        while (handle_count > 0) zookeeper_close(handles[--handle_count]);
    }
    return 0;
}
