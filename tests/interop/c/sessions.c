/* Watches and sessions, and what is left of them after a broken connection and a killed server. */
#include "harness.h"

static void get_and_watch(zhandle_t *zh, const char *path, Events *events) {
    char buffer[100];
    int length = sizeof buffer;
    OK(zoo_wget(zh, path, note, events, buffer, &length, NULL));
}

static void list_and_watch(zhandle_t *zh, const char *path, Events *events) {
    struct String_vector names;
    OK(zoo_wget_children(zh, path, note, events, &names));
    deallocate_String_vector(&names);
}

TEST(watches_fire_once) {
    zhandle_t *zh = connect_new(), *other = connect_new();
    Events *data = new_events(), *children = new_events(), *exists = new_events();
    OK(make(zh, "/c-watches", ""));
    list_and_watch(zh, "/c-watches", children);
    CODE(ZNONODE, zoo_wexists(zh, "/c-watches/n", note, exists, NULL));
    OK(make(other, "/c-watches/n", "1"));
    SAME(next_event(exists), "created /c-watches/n");
    SAME(next_event(children), "child /c-watches");
    get_and_watch(zh, "/c-watches/n", data);
    OK(put(other, "/c-watches/n", "2", -1));
    OK(put(other, "/c-watches/n", "3", -1));
    SAME(next_event(data), "changed /c-watches/n");
    get_and_watch(zh, "/c-watches/n", data);
    OK(zoo_delete(other, "/c-watches/n", -1));
    SAME(next_event(data), "deleted /c-watches/n");
    // A reply that comes after an event is read after it: nothing more is on its way.
    OK(zoo_exists(zh, "/", 0, NULL));
    CHECK(events_left(data) == 0 && events_left(children) == 0 && events_left(exists) == 0);
}

TEST(watches_are_removed) {
    zhandle_t *zh = connect_new(), *other = connect_new();
    Events *one = new_events(), *two = new_events(), *children = new_events();
    OK(make(zh, "/c-remove", ""));
    CODE(ZNOWATCHER, zoo_remove_watches(zh, "/c-remove", ZWATCHTYPE_DATA, note, one, 0));
    get_and_watch(zh, "/c-remove", one);
    get_and_watch(zh, "/c-remove", two);
    list_and_watch(zh, "/c-remove", children);
    OK(zoo_remove_watches(zh, "/c-remove", ZWATCHTYPE_DATA, note, one, 0));
    OK(zoo_remove_all_watches(zh, "/c-remove", ZWATCHTYPE_CHILD, 0));
    OK(put(other, "/c-remove", "x", -1));
    SAME(next_event(two), "changed /c-remove");
    OK(make(other, "/c-remove/n", ""));
    OK(zoo_exists(zh, "/", 0, NULL));
    CHECK(events_left(one) == 0 && events_left(two) == 0 && events_left(children) == 0);
}

TEST(watches_survive_a_killed_server) {
    zhandle_t *zh = connect_new(), *other = connect_new();
    Events *data = new_events(), *children = new_events(), *exists = new_events();
    OK(make(zh, "/c-rewatch", ""));
    OK(make(zh, "/c-rewatch/n", "1"));
    get_and_watch(zh, "/c-rewatch/n", data);
    list_and_watch(zh, "/c-rewatch", children);
    CODE(ZNONODE, zoo_wexists(zh, "/c-rewatch/new", note, exists, NULL));
    restart_server();
    AGAIN(zoo_exists(zh, "/", 0, NULL));
    AGAIN(put(other, "/c-rewatch/n", "2", -1));
    SAME(next_event(data), "changed /c-rewatch/n");
    OK(make(other, "/c-rewatch/new", ""));
    SAME(next_event(exists), "created /c-rewatch/new");
    SAME(next_event(children), "child /c-rewatch");
}

TEST(session_survives_a_killed_server) {
    zhandle_t *zh = connect_new(), *other = connect_new();
    int64_t session = zoo_client_id(zh)->client_id;
    struct Stat stat;
    OK(zoo_create(zh, "/c-session", "x", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0));
    for (int round = 0; round < 2; round++) {
        restart_server();
        AGAIN(zoo_exists(zh, "/c-session", 0, &stat));
        CHECK(stat.ephemeralOwner == session && zoo_client_id(zh)->client_id == session);
        AGAIN(put(zh, "/c-session", "y", round));
    }
    AGAIN(zoo_exists(other, "/c-session", 0, &stat));
    CHECK(stat.version == 2);
}

TEST(session_is_taken_over_with_its_id) {
    clientid_t left = leave_session("/c-left");
    zhandle_t *zh = connect_to("", &left), *other = connect_new();
    CHECK(zoo_client_id(zh)->client_id == left.client_id);
    struct Stat stat;
    OK(zoo_exists(other, "/c-left", 0, &stat));
    CHECK(stat.ephemeralOwner == left.client_id);

    clientid_t second = leave_session("/c-left-2");
    restart_server();
    zhandle_t *late = connect_to("", &second);
    AGAIN(zoo_exists(late, "/c-left-2", 0, &stat));
    CHECK(stat.ephemeralOwner == second.client_id && zoo_client_id(late)->client_id == second.client_id);
    Events *events = new_events();
    AGAIN(zoo_wexists(other, "/c-left", note, events, NULL));
    // Nobody but who knows the password closes it: the owner does now.
    AGAIN(zoo_delete(zh, "/c-left", 0));
    SAME(next_event(events), "deleted /c-left");
}

TEST(session_with_a_wrong_password_is_refused) {
    clientid_t left = leave_session("/c-wrong");
    left.passwd[0] ^= 1;
    zhandle_t *zh = connect_to("", &left), *other = connect_new();
    CHECK(zoo_state(zh) == ZOO_EXPIRED_SESSION_STATE);
    CODE(ZINVALIDSTATE, zoo_exists(zh, "/", 0, NULL));
    OK(zoo_exists(other, "/c-wrong", 0, NULL));
}
