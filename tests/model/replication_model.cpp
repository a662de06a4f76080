// A model of the replication protocol, checked by breadth-first search over every reachable state:
// two to four nodes, a short log, a bounded number of terms, crashes, changes of the in-sync set
// and wiped disks. Time is left out: a promise "runs out" at any moment after the primary has
// stopped believing in it. The replica (cluster/replication) must refine it; where the protocol
// changes, this changes first.
//
// Usage: replication_model [VARIANT...] [terms=3 crashes=1 changes=1 least=2 wipes=0 most=N]
// Exit codes: 0 no state violates anything (COMPLETE) or the bound was reached, 10 a violation (its
// shortest trace is printed), 2 wrong usage.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#ifndef NODES
#define NODES 3
#endif
#ifndef LOG
#define LOG 1
#endif
#ifndef EVENTS
#define EVENTS 1
#endif

namespace {

using u8 = std::uint8_t;

// -- what is switched on
// -----------------------------------------------------------------------------------------

int terms_most = 3, crashes_most = 1, changes_most = 1, in_sync_least = 2, wipes_most = 0;

struct switches {
  // behaviour that is right
  bool FSYNC = false;   // a write and its sync are two steps (else one)
  bool HANDOFF = false; // a primary hands over on purpose, and releases what was promised to it
  bool DELAY = false; // a request to the coordinator may arrive later than its sender gave up on it
  // one rule left out each
  bool NOSYNC = false, LEASE_NOWAIT = false, WAIT_AT_SERVE = false, APPOINT_NOWAIT = false,
       GRANT_LOST = false, GRANT_OLDTERM = false, READ_NOLEASE = false, FORGET_TERM = false,
       KEEP_ID = false, SHRINK = false, QUORUM = false, DROP_EARLY = false, ADD_LATE = false,
       NO_RECON = false, NO_COMMIT_ON_RECON = false, NO_DEDUPE = false;
  bool RELEASE_EARLY = false; // releases, and goes on serving until it reads the configuration
  bool TRUST_READ =
      false; // an old version read from the coordinator counts as the request's failure
} with;

const std::map<std::string, bool switches::*> names = {
#define X(n)                                                                                       \
  { #n, &switches::n }
    X(FSYNC),          X(HANDOFF),       X(DELAY),
    X(NOSYNC),         X(LEASE_NOWAIT),  X(WAIT_AT_SERVE),
    X(APPOINT_NOWAIT), X(GRANT_LOST),    X(GRANT_OLDTERM),
    X(READ_NOLEASE),   X(FORGET_TERM),   X(KEEP_ID),
    X(SHRINK),         X(QUORUM),        X(DROP_EARLY),
    X(ADD_LATE),       X(NO_RECON),      X(NO_COMMIT_ON_RECON),
    X(NO_DEDUPE),      X(RELEASE_EARLY), X(TRUST_READ),
#undef X
};

// -- a state of the whole system
// -----------------------------------------------------------------------------------

enum role : u8 { follower, reconciling, serving };

/// Sets of nodes are bit masks. All bytes, so that states are compared and hashed as memory.
struct state {
  // a node's disk
  u8 log_term[NODES][LOG], log_event[NODES][LOG], size[NODES], durable[NODES], term[NODES],
      disk[NODES];
  // a node's memory
  u8 role_of[NODES], must[NODES], version[NODES], committed[NODES], verified[NODES];
  u8 must_disk[NODES][NODES]; // of each of `must`, the disk that counts
  u8 acked[NODES][NODES],
      acked_disk[NODES][NODES]; // at [primary][member]: entries + 1, by which disk
  u8 believes[NODES];           // whose promises the primary holds
  u8 unsure[NODES];             // has a request out whose outcome it does not know
  // promises outlive their giver's process: at [giver][holder] the term, 0 none
  u8 promised[NODES][NODES];
  u8 released[NODES][NODES]; // a message under way, at [from][to]: the term that was left
  // the coordinator
  u8 in_sync, config_term, config_version, primary, config_disk[NODES];
  // a request that may still arrive (DELAY), at the version it expects (0: none); late_term is 0
  // where it leaves term and primary as they are
  u8 late_version, late_in_sync, late_term, late_primary, late_disk[NODES];
  // the newest log that each sent to each, and the newest acknowledgement
  u8 sent_term[NODES][NODES], sent_size[NODES][NODES], sent_committed[NODES][NODES];
  u8 sent_log_term[NODES][NODES][LOG], sent_log_event[NODES][NODES][LOG];
  u8 ack_term[NODES][NODES], ack_size[NODES][NODES], ack_disk[NODES][NODES];
  // what the checks know
  u8 acknowledged, submitted, committed_log[LOG], committed_size, crashes, changes, wipes;
};

const char* violated = nullptr;
char action[80];

bool in(int set, int node) {
  return set >> node & 1;
}
int count(int set) {
  return __builtin_popcount(static_cast<unsigned>(set));
}

bool has_promised(const state& s, int n) {
  return std::any_of(s.promised[n], s.promised[n] + NODES, [](u8 t) { return t != 0; });
}

void forget_memory(state& s, int n) {
  s.role_of[n] = follower;
  s.must[n] = s.version[n] = s.verified[n] = s.believes[n] = s.unsure[n] = 0;
  for (int m = 0; m < NODES; ++m)
    s.acked[n][m] = s.acked_disk[n][m] = s.must_disk[n][m] = 0;
}

void follow(state& s, int n, int term) {
  if (term > s.term[n]) {
    s.term[n] = static_cast<u8>(term);
    forget_memory(s, n);
  }
}

void know_config(state& s, int n) {
  s.must[n] = s.in_sync;
  s.version[n] = s.config_version;
  for (int m = 0; m < NODES; ++m)
    s.must_disk[n][m] = in(s.must[n], m) ? s.config_disk[m] : 0;
}

void lead(state& s, int n) {
  forget_memory(s, n);
  s.term[n] = s.config_term;
  s.role_of[n] = reconciling;
  know_config(s, n);
}

void commit(state& s, int n, int upto) {
  for (int i = s.committed[n]; i < upto; ++i) {
    auto event = s.log_event[n][i];
    if (i < s.committed_size) {
      if (s.committed_log[i] != event)
        violated = "the committed log changes";
    } else {
      s.committed_log[i] = event;
      s.committed_size = static_cast<u8>(i + 1);
    }
    s.acknowledged = static_cast<u8>(s.acknowledged | 1 << event);
  }
  s.committed[n] = std::max(s.committed[n], static_cast<u8>(upto));
}

bool holds(const state& s, int n, int event) {
  int upto = with.NOSYNC ? s.size[n] : s.durable[n];
  return std::find(s.log_event[n], s.log_event[n] + upto, event) != s.log_event[n] + upto;
}

void check(const state& s) {
  for (int e = 1; e <= EVENTS; ++e) {
    bool any = !in(s.acknowledged, e);
    for (int n = 0; n < NODES; ++n) {
      if (std::count(s.log_event[n], s.log_event[n] + s.size[n], e) > 1)
        violated = "an event is applied twice";
      if (!in(s.acknowledged, e) || !in(s.in_sync, n) || s.disk[n] != s.config_disk[n])
        continue;
      any = any || holds(s, n, e);
      if (!holds(s, n, e))
        violated = "an acknowledged event is missing from an in-sync member";
    }
    if (!any)
      violated = "no in-sync member holds an acknowledged event";
  }
}

// -- what can happen
// -----------------------------------------------------------------------------------------------

template <class Visit>
struct steps {
  const state& old;
  Visit visit;

  template <class Change, class... T>
  void step(Change change, const char* form, T... args) {
    std::snprintf(action, sizeof action, form, args...);
    state s = old;
    violated = nullptr;
    change(s);
    check(s);
    visit(s);
  }

  bool counts_as_recorded(int n) const {
    return wipes_most == 0 || with.KEEP_ID || old.disk[n] == old.config_disk[n];
  }
  bool may_wait(int n, bool ignored) const { return ignored || !has_promised(old, n); }
  /// It leads, and the coordinator's record is the one it knows.
  bool up_to_date(int n) const {
    return old.role_of[n] != follower && old.config_version == old.version[n] && old.primary == n &&
           old.config_term == old.term[n];
  }

  void run() {
    for (int n = 0; n < NODES; ++n) {
      writes(n);
      becoming_primary(n);
      configuration(n);
      strong_read(n);
      failures(n);
      for (int m = 0; m < NODES; ++m)
        if (m != n) {
          messages(n, m);
          membership(n, m);
          promises(n, m);
        }
    }
    if (old.late_version == old.config_version && old.late_version != 0)
      step(
          [](state& s) {
            s.in_sync = s.late_in_sync;
            std::copy(s.late_disk, s.late_disk + NODES, s.config_disk);
            ++s.config_version;
            if (s.late_term) {
              s.config_term = s.late_term;
              s.primary = s.late_primary;
            }
            no_late(s);
          },
          "the late request arrives and is applied");
  }

  static void no_late(state& s) {
    s.late_version = s.late_in_sync = s.late_term = s.late_primary = 0;
    std::fill(s.late_disk, s.late_disk + NODES, 0);
  }

  void writes(int n) {
    if (old.role_of[n] == serving && old.size[n] < LOG && count(old.must[n]) >= in_sync_least)
      for (int e = 1; e <= EVENTS; ++e) {
        if (e > 1 && !in(old.submitted, e - 1))
          continue; // events are interchangeable: number them as they come
        bool known = std::count(old.log_event[n], old.log_event[n] + old.size[n], e) > 0;
        if (known && (!with.NO_DEDUPE || in(old.acknowledged, e)))
          continue;
        step(
            [&](state& s) {
              s.log_term[n][s.size[n]] = s.term[n];
              s.log_event[n][s.size[n]] = static_cast<u8>(e);
              ++s.size[n];
              s.submitted = static_cast<u8>(s.submitted | 1 << e);
              if (!with.FSYNC)
                s.durable[n] = s.size[n];
            },
            "n%d appends event %d", n, e);
      }
    if (with.FSYNC && old.durable[n] < old.size[n])
      step([&](state& s) { s.durable[n] = s.size[n]; }, "n%d has synced", n);
    if (old.role_of[n] == serving) {
      int upto = with.NOSYNC ? old.size[n] : old.durable[n];
      if (with.QUORUM) {
        auto majority = [&](int size) {
          int k = 1;
          for (int m = 0; m < NODES; ++m)
            k += m != n && in(old.must[n], m) && old.acked[n][m] >= size + 1;
          return 2 * k > count(old.must[n]);
        };
        while (upto > old.committed[n] && !majority(upto))
          --upto;
      } else {
        for (int m = 0; m < NODES; ++m)
          if (m != n && in(old.must[n], m))
            upto = std::min(upto, old.acked[n][m] ? old.acked[n][m] - 1 : 0);
      }
      if (upto > old.committed[n])
        step([&](state& s) { commit(s, n, upto); }, "n%d commits up to %d and acknowledges", n,
             upto);
    }
  }

  void becoming_primary(int n) {
    bool waits_here = !with.LEASE_NOWAIT && with.WAIT_AT_SERVE;
    if (old.role_of[n] == reconciling && (!waits_here || !has_promised(old, n)) &&
        old.durable[n] == old.size[n]) {
      bool adopted = true;
      for (int m = 0; m < NODES; ++m)
        adopted = adopted && (with.NO_RECON || m == n || !in(old.must[n], m) ||
                              old.acked[n][m] == old.size[n] + 1);
      if (adopted)
        step(
            [&](state& s) {
              s.role_of[n] = serving;
              if (!with.NO_COMMIT_ON_RECON)
                commit(s, n, s.size[n]);
            },
            "n%d has reconciled, serves", n);
    }
    if (in(old.in_sync, n) && old.config_term < terms_most && old.role_of[n] == follower &&
        counts_as_recorded(n) && may_wait(n, with.LEASE_NOWAIT || with.WAIT_AT_SERVE)) {
      int rest = old.in_sync;
      if (old.primary != n)
        rest &= ~(1 << old.primary);
      if (count(rest) < in_sync_least && !with.SHRINK)
        rest = old.in_sync;
      for (bool heard : {true, false})
        step(
            [&](state& s) {
              ++s.config_term;
              ++s.config_version;
              s.primary = static_cast<u8>(n);
              s.in_sync = static_cast<u8>(rest);
              if (heard)
                lead(s, n);
            },
            heard ? "n%d takes over" : "n%d takes over (applied, but it does not hear so)", n);
      // It may even follow and promise again before the request arrives (it crashed meanwhile).
      if (with.DELAY && old.late_version == 0)
        step(
            [&](state& s) {
              s.late_version = s.config_version;
              s.late_term = static_cast<u8>(s.config_term + 1);
              s.late_primary = static_cast<u8>(n);
              s.late_in_sync = static_cast<u8>(rest);
              std::copy(s.config_disk, s.config_disk + NODES, s.late_disk);
            },
            "n%d takes over (it is held up on its way)", n);
    }
    if (with.HANDOFF && old.role_of[n] == serving && old.config_term < terms_most && up_to_date(n))
      for (int m = 0; m < NODES; ++m)
        if (m != n && in(old.in_sync, m))
          step(
              [&](state& s) {
                ++s.config_term;
                ++s.config_version;
                s.primary = static_cast<u8>(m);
                for (int x = 0; x < NODES; ++x)
                  if (x != n)
                    s.released[n][x] = s.term[n];
                if (!with.RELEASE_EARLY) {
                  forget_memory(s, n);
                  s.term[n] = s.config_term;
                }
              },
              "n%d hands over to n%d and releases", n, m);
    if (old.role_of[n] == follower && old.primary == n && old.config_term > old.term[n] &&
        in(old.in_sync, n) && counts_as_recorded(n) && may_wait(n, with.APPOINT_NOWAIT))
      step([&](state& s) { lead(s, n); }, "n%d finds itself appointed for term %d", n,
           old.config_term);
  }

  void configuration(int n) {
    if (old.config_term > old.term[n] && (old.role_of[n] != follower || old.primary != n))
      step([&](state& s) { follow(s, n, s.config_term); }, "n%d reads the configuration: term %d",
           n, old.config_term);
    // Only a later version settles what became of a request.
    bool later = old.config_version != old.version[n];
    if (old.role_of[n] != follower && old.config_term == old.term[n] && old.primary == n &&
        (later || (old.must[n] != old.in_sync && (!old.unsure[n] || with.TRUST_READ))))
      step(
          [&](state& s) {
            know_config(s, n);
            s.unsure[n] = 0;
          },
          "n%d reads the configuration again", n);
    // So it asks for a change that changes nothing: it is applied at the version that the late one
    // expects.
    if (old.unsure[n] && up_to_date(n))
      step(
          [&](state& s) {
            ++s.config_version;
            no_late(s);
            know_config(s, n);
            s.unsure[n] = 0;
          },
          "n%d settles its request by another", n);
  }

  void strong_read(int n) {
    if (old.role_of[n] != serving)
      return;
    for (int m = 0; m < NODES; ++m)
      if (m != n && in(old.must[n], m) && !in(old.believes[n], m) && !with.READ_NOLEASE)
        return;
    for (int e = 1; e <= EVENTS; ++e)
      if (in(old.acknowledged, e) &&
          std::count(old.log_event[n], old.log_event[n] + old.committed[n], e) == 0)
        step([&](state&) { violated = "a strong read misses an acknowledged event"; },
             "strong read at n%d", n);
  }

  void failures(int n) {
    if (old.crashes >= crashes_most)
      return;
    step(
        [&](state& s) {
          ++s.crashes;
          forget_memory(s, n);
          s.committed[n] = 0;
          for (int i = s.durable[n]; i < LOG; ++i)
            s.log_term[n][i] = s.log_event[n][i] = 0;
          s.size[n] = s.durable[n];
          if (with.FORGET_TERM)
            s.term[n] = s.size[n] ? s.log_term[n][s.size[n] - 1] : 1;
          if (with.GRANT_LOST)
            std::fill(s.promised[n], s.promised[n] + NODES, 0);
        },
        "n%d crashes and starts again", n);
    if (old.wipes < wipes_most)
      step(
          [&](state& s) {
            ++s.crashes;
            ++s.wipes;
            forget_memory(s, n);
            std::fill(s.log_term[n], s.log_term[n] + LOG, 0);
            std::fill(s.log_event[n], s.log_event[n] + LOG, 0);
            s.committed[n] = s.size[n] = s.durable[n] = 0;
            s.term[n] = 1;
            s.disk[n] ^= 1;
          },
          "n%d loses its disk and starts empty", n);
  }

  /// n sends to m, and hears from m.
  void messages(int n, int m) {
    if (old.role_of[n] != follower)
      step(
          [&](state& s) {
            s.sent_term[n][m] = s.term[n];
            s.sent_size[n][m] = s.size[n];
            s.sent_committed[n][m] = s.committed[n];
            std::copy(s.log_term[n], s.log_term[n] + LOG, s.sent_log_term[n][m]);
            std::copy(s.log_event[n], s.log_event[n] + LOG, s.sent_log_event[n][m]);
          },
          "n%d sends its log to n%d", n, m);
    int term = old.sent_term[m][n];
    if (term && term >= old.term[n] && !(term == old.term[n] && old.role_of[n] != follower))
      step(
          [&](state& s) {
            follow(s, n, term);
            int size = s.sent_size[m][n], same = 0;
            while (same < size && same < s.size[n] &&
                   s.log_term[n][same] == s.sent_log_term[m][n][same] &&
                   s.log_event[n][same] == s.sent_log_event[m][n][same])
              ++same;
            if (same < size) {
              if (same < s.committed[n])
                violated = "what is committed is cut";
              s.durable[n] = std::min(s.durable[n], static_cast<u8>(same));
              for (int i = same; i < LOG; ++i) {
                s.log_term[n][i] = i < size ? s.sent_log_term[m][n][i] : 0;
                s.log_event[n][i] = i < size ? s.sent_log_event[m][n][i] : 0;
              }
              s.size[n] = static_cast<u8>(size);
              if (!with.FSYNC)
                s.durable[n] = s.size[n];
            }
            s.verified[n] = std::max(s.verified[n], static_cast<u8>(size));
            s.committed[n] = std::max(s.committed[n], s.sent_committed[m][n]);
          },
          "n%d receives the log of n%d (term %d)", n, m, term);
    if (old.role_of[n] == follower && old.sent_term[m][n] == old.term[n] && old.sent_term[m][n] &&
        (counts_as_recorded(n) || !in(old.in_sync, n))) {
      int size = with.NOSYNC ? old.verified[n] : std::min(old.verified[n], old.durable[n]);
      if (old.ack_term[n][m] != old.term[n] || old.ack_size[n][m] != size + 1)
        step(
            [&](state& s) {
              s.ack_term[n][m] = s.term[n];
              s.ack_size[n][m] = static_cast<u8>(size + 1);
              s.ack_disk[n][m] = s.disk[n];
            },
            "n%d acknowledges %d to n%d", n, size, m);
    }
    if (old.role_of[n] != follower && old.ack_term[m][n] == old.term[n] &&
        (old.ack_size[m][n] > old.acked[n][m] || old.ack_disk[m][n] != old.acked_disk[n][m]) &&
        (with.KEEP_ID || !in(old.must[n], m) || old.ack_disk[m][n] == old.must_disk[n][m]))
      step(
          [&](state& s) {
            s.acked[n][m] = s.ack_size[m][n];
            s.acked_disk[n][m] = s.ack_disk[m][n];
          },
          "n%d hears the acknowledgement of n%d", n, m);
  }

  /// What may become of a request of n that makes `set` of the in-sync set.
  template <class Record>
  void change(int n, int set, bool adopts_all, Record record, const char* what, int m) {
    if (old.unsure[n])
      return; // one at a time
    for (bool heard : {true, false})
      step(
          [&](state& s) {
            ++s.changes;
            s.in_sync = static_cast<u8>(set);
            ++s.config_version;
            no_late(s);
            record(s.config_disk);
            if (heard) {
              s.version[n] = s.config_version;
              if (adopts_all)
                know_config(s, n);
              else
                s.must[n] = static_cast<u8>(s.must[n] & ~(1 << m));
            }
          },
          heard ? "n%d %s n%d: in sync %x" : "n%d %s n%d: in sync %x (it does not hear so)", n,
          what, m, set);
    if (with.DELAY && old.late_version == 0)
      step(
          [&](state& s) {
            ++s.changes;
            s.late_version = s.config_version;
            s.late_in_sync = static_cast<u8>(set);
            std::copy(s.config_disk, s.config_disk + NODES, s.late_disk);
            record(s.late_disk);
            s.unsure[n] = 1;
          },
          "n%d %s n%d: in sync %x (it is held up on its way)", n, what, m, set);
  }

  void membership(int n, int m) {
    if (old.role_of[n] == follower || old.changes >= changes_most)
      return;
    if (in(old.in_sync, m) && up_to_date(n) && count(old.in_sync) - 1 >= in_sync_least)
      change(
          n, old.in_sync & ~(1 << m), false, [](u8*) {}, "drops", m);
    if (in(old.in_sync, m) && with.DROP_EARLY && in(old.must[n], m))
      step([&](state& s) { s.must[n] = static_cast<u8>(s.must[n] & ~(1 << m)); },
           "n%d stops counting n%d", n, m);
    if (!in(old.must[n], m) && !with.ADD_LATE)
      step(
          [&](state& s) {
            s.must[n] = static_cast<u8>(s.must[n] | 1 << m);
            s.must_disk[n][m] = s.disk[m];
          },
          "n%d starts to count n%d", n, m);
    // Serving, all that is committed is enough: what is committed later counts it.
    int needed = (old.role_of[n] == serving ? old.committed[n] : old.size[n]) + 1;
    if (!in(old.in_sync, m) && up_to_date(n) && old.acked[n][m] >= needed &&
        (with.ADD_LATE || in(old.must[n], m)))
      for (int out = -1; out < NODES; ++out) {
        int set = old.in_sync | 1 << m;
        if (out >= 0) {
          if (out == n || out == m || !in(old.in_sync, out))
            continue;
          set &= ~(1 << out);
        }
        if (count(set) >= in_sync_least)
          change(
              n, set, true,
              [&](u8* disks) { disks[m] = with.KEEP_ID ? old.disk[m] : old.acked_disk[n][m]; },
              "adds", m);
      }
  }

  /// m promises n to help nobody else to lead.
  void promises(int n, int m) {
    bool follows = with.GRANT_OLDTERM ? old.term[m] >= old.term[n] : old.term[m] == old.term[n];
    if (old.role_of[n] != follower && old.role_of[m] == follower && follows &&
        !in(old.believes[n], m) && (with.KEEP_ID || old.disk[m] == old.config_disk[m]))
      step(
          [&](state& s) {
            s.promised[m][n] = s.term[n];
            s.believes[n] = static_cast<u8>(s.believes[n] | 1 << m);
          },
          "n%d is promised by n%d", n, m);
    if (in(old.believes[n], m))
      step([&](state& s) { s.believes[n] = static_cast<u8>(s.believes[n] & ~(1 << m)); },
           "n%d no longer counts on n%d's promise", n, m);
    if (old.promised[n][m] && !in(old.believes[m], n))
      step([&](state& s) { s.promised[n][m] = 0; }, "n%d's promise to n%d runs out", n, m);
    if (old.promised[n][m] && old.promised[n][m] <= old.released[m][n])
      step([&](state& s) { s.promised[n][m] = 0; }, "n%d hears that n%d releases term %d", n, m,
           old.released[m][n]);
  }
};

// -- the search
// -----------------------------------------------------------------------------------------------------

/// Drops messages that can never matter again, so that fewer states differ.
void forget_dead_messages(state& s) {
  for (int a = 0; a < NODES; ++a)
    for (int b = 0; b < NODES; ++b) {
      if (s.sent_term[a][b] && s.sent_term[a][b] < s.term[b]) {
        s.sent_term[a][b] = s.sent_size[a][b] = s.sent_committed[a][b] = 0;
        std::fill(s.sent_log_term[a][b], s.sent_log_term[a][b] + LOG, 0);
        std::fill(s.sent_log_event[a][b], s.sent_log_event[a][b] + LOG, 0);
      }
      if (s.ack_term[a][b] &&
          (s.ack_term[a][b] < s.term[b] ||
           (s.ack_term[a][b] == s.term[b] && s.role_of[b] != follower &&
            s.ack_size[a][b] <= s.acked[b][a] && s.ack_disk[a][b] == s.acked_disk[b][a])))
        s.ack_term[a][b] = s.ack_size[a][b] = s.ack_disk[a][b] = 0;
      // A release matters while a promise of its term may be given: its receiver has not gone on.
      if (s.released[a][b] && !s.promised[b][a] && s.term[b] > s.released[a][b])
        s.released[a][b] = 0;
    }
  if (s.late_version && s.late_version != s.config_version)
    steps<void (*)(const state&)>::no_late(s);
}

std::uint64_t hash(const state& s) {
  const auto* p = reinterpret_cast<const u8*>(&s);
  std::uint64_t h = 42;
  for (std::size_t i = 0; i < sizeof s; i += 8) {
    std::uint64_t v = 0;
    std::memcpy(&v, p + i, std::min<std::size_t>(8, sizeof s - i));
    h ^= v * 0xff51afd7ed558ccdULL;
    h = (h << 31 | h >> 33) * 0xc4ceb9fe1a85ec53ULL;
  }
  h ^= h >> 33;
  h *= 0x9E3779B97F4A7C15ULL;
  return h ^ h >> 29;
}

/// The same state with the nodes renamed.
state renamed(const state& s, const std::array<int, NODES>& to) {
  state r = s;
  auto set = [&](int mask) {
    int x = 0;
    for (int i = 0; i < NODES; ++i)
      if (in(mask, i))
        x |= 1 << to[static_cast<std::size_t>(i)];
    return static_cast<u8>(x);
  };
  for (int a = 0; a < NODES; ++a) {
    int A = to[static_cast<std::size_t>(a)];
#define ONE(f) std::memcpy(&r.f[A], &s.f[a], sizeof s.f[a])
    ONE(log_term);
    ONE(log_event);
    ONE(size);
    ONE(durable);
    ONE(term);
    ONE(disk);
    ONE(role_of);
    ONE(version);
    ONE(committed);
    ONE(verified);
    ONE(unsure);
    ONE(config_disk);
    ONE(late_disk);
#undef ONE
    r.must[A] = set(s.must[a]);
    r.believes[A] = set(s.believes[a]);
    for (int b = 0; b < NODES; ++b) {
      int B = to[static_cast<std::size_t>(b)];
#define TWO(f) std::memcpy(&r.f[A][B], &s.f[a][b], sizeof s.f[a][b])
      TWO(must_disk);
      TWO(acked);
      TWO(acked_disk);
      TWO(promised);
      TWO(released);
      TWO(sent_term);
      TWO(sent_size);
      TWO(sent_committed);
      TWO(sent_log_term);
      TWO(sent_log_event);
      TWO(ack_term);
      TWO(ack_size);
      TWO(ack_disk);
#undef TWO
    }
  }
  r.in_sync = set(s.in_sync);
  r.late_in_sync = set(s.late_in_sync);
  r.primary = static_cast<u8>(to[s.primary]);
  r.late_primary = s.late_term ? static_cast<u8>(to[s.late_primary]) : 0;
  return r;
}

std::uint64_t canonical(const state& s) {
  static const auto orders = [] {
    std::vector<std::array<int, NODES>> all;
    std::array<int, NODES> p{};
    for (int i = 0; i < NODES; ++i)
      p[static_cast<std::size_t>(i)] = i;
    do
      all.push_back(p);
    while (std::next_permutation(p.begin(), p.end()));
    return all;
  }();
  std::uint64_t least = ~0ULL;
  for (const auto& p : orders)
    least = std::min(least, hash(renamed(s, p)));
  return least;
}

template <class Visit>
void expand(const state& s, Visit visit) {
  steps<Visit>{s, visit}.run();
}

struct reached {
  state s;
  std::uint32_t from;
};

void print_trace(const std::vector<reached>& all, std::uint32_t last,
                 const std::string& final_action) {
  std::vector<std::uint32_t> way;
  for (auto i = last; i != 0; i = all[i].from)
    way.push_back(i);
  way.push_back(0);
  std::reverse(way.begin(), way.end());
  for (std::size_t i = 0; i + 1 < way.size(); ++i) {
    bool found = false;
    expand(all[way[i]].s, [&](state& s) {
      forget_dead_messages(s);
      if (!found && std::memcmp(&s, &all[way[i + 1]].s, sizeof s) == 0) {
        std::printf("    %s\n", action);
        found = true;
      }
    });
  }
  std::printf("    %s  !!\n", final_action.c_str());
}

} // namespace

int main(int argc, char** argv) {
  long most = 20'000'000;
  std::string said;
  const std::map<std::string, int*> numbers = {{"terms", &terms_most},
                                               {"crashes", &crashes_most},
                                               {"changes", &changes_most},
                                               {"least", &in_sync_least},
                                               {"wipes", &wipes_most}};
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    said += a + " ";
    auto eq = a.find('=');
    auto key = a.substr(0, eq);
    if (eq == a.npos && names.contains(a))
      with.*names.at(a) = true;
    else if (eq != a.npos && numbers.contains(key))
      *numbers.at(key) = std::atoi(a.c_str() + eq + 1);
    else if (eq != a.npos && key == "most")
      most = std::atol(a.c_str() + eq + 1);
    else {
      std::fprintf(stderr, "unknown: %s\n", a.c_str());
      return 2;
    }
  }
  if (with.NOSYNC)
    with.FSYNC = true;

  state first;
  std::memset(&first, 0, sizeof first);
  for (int i = 0; i < NODES; ++i) {
    first.term[i] = 1;
    first.in_sync = static_cast<u8>(first.in_sync | 1 << i);
  }
  first.role_of[0] = serving;
  first.config_term = first.config_version = 1;
  know_config(first, 0);

  std::vector<reached> all{{first, 0}};
  std::unordered_set<std::uint64_t> seen{canonical(first)};
  long transitions = 0;
  for (std::size_t i = 0; i < all.size() && static_cast<long>(all.size()) < most; ++i) {
    std::string broken, last_action;
    state s = all[i].s;
    expand(s, [&](state& next) {
      ++transitions;
      if (!broken.empty())
        return;
      if (violated) {
        broken = violated;
        last_action = action;
        return;
      }
      forget_dead_messages(next);
      if (seen.insert(canonical(next)).second)
        all.push_back({next, static_cast<std::uint32_t>(i)});
    });
    if (!broken.empty()) {
      std::printf("[%s] VIOLATION after %zu states: %s\n", said.c_str(), all.size(),
                  broken.c_str());
      print_trace(all, static_cast<std::uint32_t>(i), last_action);
      return 10;
    }
    if (i + 1 == all.size()) {
      std::printf("[%s] no violation, COMPLETE: %zu states (up to renaming), %ld transitions\n",
                  said.c_str(), all.size(), transitions);
      return 0;
    }
  }
  std::printf("[%s] no violation, bound reached: %zu states, %ld transitions\n", said.c_str(),
              all.size(), transitions);
  return 0;
}
