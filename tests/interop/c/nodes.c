/* Nodes of every kind, transactions, permissions and limits, as the C client sees them. */
#include "harness.h"

#include <pthread.h>

TEST(nodes_stats_and_errors) {
    zhandle_t *zh = connect_new();
    char path[100];
    struct Stat stat, later;
    OK(make(zh, "/c-nodes", ""));
    OK(zoo_create2(zh, "/c-nodes/n", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path, &stat));
    SAME(path, "/c-nodes/n");
    CHECK(stat.czxid > 0 && stat.czxid == stat.mzxid && stat.dataLength == 3 && stat.version == 0);
    CODE(ZNODEEXISTS, make(zh, "/c-nodes/n", ""));
    CODE(ZNONODE, make(zh, "/c-nodes/no/parent", ""));
    OK(zoo_set2(zh, "/c-nodes/n", "second", 6, 0, &later));
    CHECK(later.version == 1 && later.mzxid > stat.mzxid && later.czxid == stat.czxid);
    CODE(ZBADVERSION, put(zh, "/c-nodes/n", "third", 0));
    SAME(text_of(zh, "/c-nodes/n"), "second");
    CODE(ZNOTEMPTY, zoo_delete(zh, "/c-nodes", -1));
    CODE(ZBADVERSION, zoo_delete(zh, "/c-nodes/n", 0));

    // No data is not the same as empty data.
    OK(zoo_create(zh, "/c-nodes/null", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    char buffer[10];
    int length = sizeof buffer;
    OK(zoo_get(zh, "/c-nodes/null", 0, buffer, &length, NULL));
    CHECK(length == -1);

    struct String_vector names;
    OK(zoo_get_children2(zh, "/c-nodes", 0, &names, &stat));
    CHECK(names.count == 2 && stat.numChildren == 2 && stat.cversion == 2);
    deallocate_String_vector(&names);
    OK(zoo_delete(zh, "/c-nodes/n", 1));
    CODE(ZNONODE, zoo_exists(zh, "/c-nodes/n", 0, NULL));
}

TEST(ephemeral_sequential_container_and_ttl) {
    zhandle_t *zh = connect_new();
    char path[100];
    struct Stat stat;
    OK(make(zh, "/c-kinds", ""));
    OK(zoo_create(zh, "/c-kinds/e-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, path, sizeof path));
    SAME(path, "/c-kinds/e-0000000000");
    OK(zoo_exists(zh, path, 0, &stat));
    CHECK(stat.ephemeralOwner == zoo_client_id(zh)->client_id);
    CODE(ZNOCHILDRENFOREPHEMERALS, make(zh, "/c-kinds/e-0000000000/child", ""));
    OK(zoo_create(zh, "/c-kinds/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, path, sizeof path));
    SAME(path, "/c-kinds/s-0000000001");
    OK(zoo_create(zh, "/c-kinds/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_CONTAINER, path, sizeof path));
    OK(make(zh, "/c-kinds/c/child", ""));
    int ttl = ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL;
    OK(zoo_create2_ttl(zh, "/c-kinds/t-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ttl, 3600000, path, sizeof path, &stat));
    SAME(path, "/c-kinds/t-0000000003");
    CHECK(stat.ephemeralOwner == 0);
    zhandle_t *other = connect_new();
    close_now(zh);
    struct String_vector names;
    OK(zoo_get_children(other, "/c-kinds", 0, &names));
    CHECK(names.count == 3);
    deallocate_String_vector(&names);
}

/* Two thousand requests in flight, answered in their order. */
static struct {
    pthread_mutex_t lock;
    int replies, wrong;
    char last[100];
} flood = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void created_one(int rc, const char *path, const void *data) {
    (void)data;
    pthread_mutex_lock(&flood.lock);
    if (rc != ZOK || strcmp(path, flood.last) <= 0) flood.wrong++;
    else snprintf(flood.last, sizeof flood.last, "%s", path);
    flood.replies++;
    pthread_mutex_unlock(&flood.lock);
}

static void set_one(int rc, const struct Stat *stat, const void *expected) {
    pthread_mutex_lock(&flood.lock);
    if (rc != ZOK || stat->version != (int)(intptr_t)expected) flood.wrong++;
    flood.replies++;
    pthread_mutex_unlock(&flood.lock);
}

static int replies(void) {
    pthread_mutex_lock(&flood.lock);
    int n = flood.replies;
    pthread_mutex_unlock(&flood.lock);
    return n;
}

TEST(thousands_in_flight_are_answered_in_order) {
    zhandle_t *zh = connect_new();
    flood.replies = flood.wrong = 0;
    flood.last[0] = '\0';
    OK(make(zh, "/c-flood", ""));
    for (int i = 0; i < 1000; i++) {
        OK(zoo_acreate(zh, "/c-flood/n-", "x", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, created_one, NULL));
        OK(zoo_aset(zh, "/c-flood", "y", 1, -1, set_one, (void *)(intptr_t)(i + 1)));
    }
    WAIT_UNTIL(replies() == 2000);
    CHECK(flood.wrong == 0);
    SAME(flood.last, "/c-flood/n-0000000999");
}

TEST(multi_does_all_or_nothing) {
    zhandle_t *zh = connect_new();
    OK(make(zh, "/c-multi", "old"));
    char path[100];
    struct Stat stat, sequential;
    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    zoo_create_op_init(&ops[0], "/c-multi/s-", "x", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path, sizeof path);
    zoo_set_op_init(&ops[1], "/c-multi", "new", 3, 0, &stat);
    zoo_check_op_init(&ops[2], "/c-multi", 1);
    zoo_create_op_init(&ops[3], "/c-multi/n", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    OK(zoo_multi(zh, 4, ops, results));
    for (int i = 0; i < 4; i++) CHECK(results[i].err == ZOK);
    SAME(path, "/c-multi/s-0000000000");
    CHECK(stat.version == 1);
    OK(zoo_exists(zh, path, 0, &sequential));
    CHECK(sequential.czxid == stat.mzxid);

    zoo_delete_op_init(&ops[0], "/c-multi/n", -1);
    zoo_set_op_init(&ops[1], "/c-multi", "newer", 5, 7, &stat);
    zoo_delete_op_init(&ops[2], "/c-multi/s-0000000000", -1);
    CODE(ZBADVERSION, zoo_multi(zh, 3, ops, results));
    CHECK(results[0].err == ZOK && results[1].err == ZBADVERSION && results[2].err == ZRUNTIMEINCONSISTENCY);
    OK(zoo_exists(zh, "/c-multi/n", 0, NULL));
    SAME(text_of(zh, "/c-multi"), "new");
}

static int auth_answer;

static void authenticated(int rc, const void *data) {
    (void)data;
    __atomic_store_n(&auth_answer, rc + 1000, __ATOMIC_SEQ_CST);
}

static int authenticate(zhandle_t *zh, const char *who) {
    __atomic_store_n(&auth_answer, 0, __ATOMIC_SEQ_CST);
    OK(zoo_add_auth(zh, "digest", who, (int)strlen(who), authenticated, NULL));
    WAIT_UNTIL(__atomic_load_n(&auth_answer, __ATOMIC_SEQ_CST) != 0);
    return auth_answer - 1000;
}

TEST(digest_acl_keeps_others_out) {
    zhandle_t *zh = connect_new(), *other = connect_new();
    char buffer[100];
    int length = sizeof buffer;
    OK(make(zh, "/c-acl", ""));
    OK(authenticate(zh, "amy:secret"));
    OK(zoo_create(zh, "/c-acl/mine", "x", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    CODE(ZNOAUTH, zoo_get(other, "/c-acl/mine", 0, buffer, &length, NULL));
    CODE(ZNOAUTH, put(other, "/c-acl/mine", "y", -1));
    CODE(ZNOAUTH, make(other, "/c-acl/mine/child", ""));
    CODE(ZINVALIDACL, zoo_create(other, "/c-acl/theirs", "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    struct ACL_vector acl;
    struct Stat stat;
    OK(zoo_get_acl(zh, "/c-acl/mine", &acl, &stat));
    CHECK(acl.count == 1 && acl.data[0].perms == ZOO_PERM_ALL);
    SAME(acl.data[0].id.scheme, "digest");
    deallocate_ACL_vector(&acl);
    OK(authenticate(other, "amy:secret"));
    OK(zoo_get(other, "/c-acl/mine", 0, buffer, &length, NULL));
    OK(zoo_set_acl(zh, "/c-acl/mine", stat.aversion, &ZOO_READ_ACL_UNSAFE));
    CODE(ZBADVERSION, zoo_set_acl(connect_new(), "/c-acl", 5, &ZOO_OPEN_ACL_UNSAFE));
    CODE(ZNOAUTH, put(zh, "/c-acl/mine", "y", -1));
    OK(zoo_create(zh, "/c-acl/again", "x", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    restart_server();
    // The client proves who it is once more, before any other request.
    AGAIN(put(zh, "/c-acl/again", "y", -1));
    AGAIN(put(other, "/c-acl/again", "z", -1));
}

TEST(large_values) {
    zhandle_t *zh = connect_new();
    int size = 1000000, length = size + 100;
    char *value = malloc(size), *found = malloc(length), *too_much = calloc(1, 1 << 20);
    for (int i = 0; i < size; i++) value[i] = (char)(i * 31);
    OK(zoo_create(zh, "/c-large", value, size, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    OK(zoo_get(zh, "/c-large", 0, found, &length, NULL));
    CHECK(length == size && memcmp(value, found, size) == 0);
    int64_t session = zoo_client_id(zh)->client_id;
    CODE(ZCONNECTIONLOSS, zoo_set(zh, "/c-large", too_much, 1 << 20, -1));
    struct Stat stat;
    AGAIN(zoo_exists(zh, "/c-large", 0, &stat));
    CHECK(stat.dataLength == size && stat.version == 0 && zoo_client_id(zh)->client_id == session);
    free(value), free(found), free(too_much);
}

TEST(a_chroot_hides_what_is_above) {
    zhandle_t *whole = connect_new();
    OK(make(whole, "/c-chroot", ""));
    zhandle_t *zh = connect_to("/c-chroot", NULL);
    char path[100];
    OK(make(zh, "/n", "x"));
    SAME(text_of(whole, "/c-chroot/n"), "x");
    OK(zoo_create(zh, "/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path, sizeof path));
    SAME(path, "/s-0000000001");
    Events *events = new_events();
    OK(zoo_wget_children(zh, "/", note, events, &(struct String_vector){0, NULL}));
    OK(zoo_wexists(zh, "/n", note, events, NULL));
    OK(put(whole, "/c-chroot/n", "y", -1));
    SAME(next_event(events), "changed /n");
    OK(zoo_delete(whole, "/c-chroot/n", -1));
    SAME(next_event(events), "child /");
}

TEST(reconfiguration_is_refused) {
    zhandle_t *zh = connect_new();
    char buffer[1000];
    int length = sizeof buffer;
    struct Stat stat;
    OK(zoo_getconfig(zh, 0, buffer, &length, &stat));
    CHECK(length <= 0);
    length = sizeof buffer;
    int code = zoo_reconfig(zh, "server.2=127.0.0.1:1:2;3", NULL, NULL, -1, buffer, &length, &stat);
    CHECK(code == ZUNIMPLEMENTED || code == ZRECONFIGDISABLED);
    OK(zoo_exists(zh, "/", 0, NULL));
}
