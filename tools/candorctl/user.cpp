#include <fstream>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

std::string path_of(const std::string& user, std::string_view rest = {}) {
  return fmt::format("/v1/users/{}{}", http_client::escape(user), rest);
}

std::shared_ptr<std::string> add_consistency(CLI::App& to) {
  auto chosen = std::make_shared<std::string>("strong");
  to.add_option(
        "--consistency", *chosen,
        "strong, or session: by the copy of the node that is asked, at most 3 s behind [strong]")
      ->type_name("HOW")
      ->check(CLI::IsMember({"strong", "session"}).description(""));
  return chosen;
}

void print_interests(const json& answer) {
  fmt::print("{} at {}, policy {}\n", field(answer, "user"), field(answer, "at"),
             field(answer, "policy_version"));
  const auto& interests = answer.at("interests");
  if (interests.empty()) {
    fmt::print("no interests\n");
    return;
  }
  auto may = [](const json& use) {
    return use.is_boolean() ? std::string{"yes"} : "no: " + field(use, "not");
  };
  std::vector<std::vector<std::string>> rows = {
      {"TOPIC", "SOURCE", "STRENGTH", "EVENTS", "SINCE", "LAST", "ADS", "CONTENT"}};
  for (const auto& i : interests)
    rows.push_back({field(i, "topic"), field(i, "source"), field(i, "strength"), field(i, "events"),
                    field(i, "since").substr(0, 10), field(i, "last").substr(0, 10),
                    may(i.at("uses").at("ads")), may(i.at("uses").at("content"))});
  print_table(rows);
}

/// Only what was named is sent: absent fields stay as they are.
struct stated {
  std::optional<std::string> region, region_since, lang, zone, email, app, assistant_user_since;
  std::optional<int> birth_year;

  json body() const {
    json made = json::object();
    auto put = [&](const char* name, const auto& value) {
      if (value)
        made[name] = *value;
    };
    put("region", region);
    put("region_since", region_since);
    put("lang", lang);
    put("zone", zone);
    put("email", email);
    put("birth_year", birth_year);
    put("assistant_user_since", assistant_user_since);
    put("app", app);
    return made;
  }
};

void add_put(CLI::App& group, session& with, command& chosen) {
  auto* c = add_command(group, "put", "State who a person is; what is not named stays as it is",
                        "  candorctl user put u-42 --region US --lang en --birth-year 1990");
  auto user = std::make_shared<std::string>();
  auto is = std::make_shared<stated>();
  c->add_option("USER", *user, "the platform's id of the person")->required();
  c->add_option("--region", is->region, "ISO 3166-1 code")->type_name("CODE");
  c->add_option("--region-since", is->region_since, "date since when")->type_name("DATE");
  c->add_option("--lang", is->lang, "BCP 47 language tag")->type_name("TAG");
  c->add_option("--zone", is->zone, "IANA time zone")->type_name("ZONE");
  c->add_option("--email", is->email, "for notices")->type_name("ADDRESS");
  c->add_option("--birth-year", is->birth_year, "for the policy's minimum age")->type_name("YEAR");
  c->add_option("--assistant-user-since", is->assistant_user_since,
                "date of the first use of the assistant")
      ->type_name("DATE");
  c->add_option("--app", is->app, "which of the platform's apps")->type_name("NAME");
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().call("PUT", path_of(*user), is->body());
      if (!answer)
        return with.complain(answer.error());
      with.print(*answer, [](const json& a) {
        fmt::print("{} {}\n", field(a, "user"), a.value("created", false) ? "created" : "updated");
      });
      return int{exit_fine};
    };
  });
}

void add_show(CLI::App& group, session& with, command& chosen) {
  auto* c = add_command(group, "show", "Show what is known of a person, without interests",
                        "  candorctl user show u-42");
  auto user = std::make_shared<std::string>();
  c->add_option("USER", *user, "the person")->required();
  auto consistency = add_consistency(*c);
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().get(path_of(*user, "?consistency=" + *consistency));
      if (!answer)
        return with.complain(answer.error());
      with.print(*answer, print_fields);
      return int{exit_fine};
    };
  });
}

void add_interests(CLI::App& group, session& with, command& chosen) {
  auto* c =
      add_command(group, "interests", "Show a person's interests, and what each may serve now",
                  "  candorctl user interests u-42\n"
                  "  candorctl user interests u-42 -o jsonl | jq -r .topic");
  auto user = std::make_shared<std::string>();
  c->add_option("USER", *user, "the person")->required();
  auto consistency = add_consistency(*c);
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer =
          with.connect().get(path_of(*user, "/interests?consistency=" + *consistency));
      if (!answer)
        return with.complain(answer.error());
      with.print_list(*answer, "interests", print_interests);
      return int{exit_fine};
    };
  });
}

void add_forget(CLI::App& group, session& with, command& chosen) {
  auto* c = add_command(group, "forget-interest", "Remove one interest of a person",
                        "  candorctl user forget-interest u-42 outdoors");
  auto user = std::make_shared<std::string>(), topic = std::make_shared<std::string>();
  c->add_option("USER", *user, "the person")->required();
  c->add_option("TOPIC", *topic, "a topic of `candorctl topics list`")->required();
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().call(
          "DELETE", path_of(*user, "/interests/" + http_client::escape(*topic)));
      if (!answer)
        return with.complain(answer.error());
      with.print(*answer,
                 [](const json& a) { fmt::print("{} forgotten\n", field(a, "forgotten")); });
      return int{exit_fine};
    };
  });
}

void add_export(CLI::App& group, session& with, command& chosen) {
  auto* c = add_command(group, "export",
                        "Everything that is held about a person, as JSON (this is audited)",
                        "  candorctl user export u-42 --to u-42.json");
  auto user = std::make_shared<std::string>(), to = std::make_shared<std::string>();
  c->add_option("USER", *user, "the person")->required();
  c->add_option("--to", *to, "write to this file instead of stdout")->type_name("FILE");
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().get(path_of(*user, "/export"));
      if (!answer)
        return with.complain(answer.error());
      auto text = answer->dump(with.as == output::jsonl ? -1 : 2) + "\n";
      if (to->empty()) {
        fmt::print("{}", text);
        return int{exit_fine};
      }
      std::ofstream file{*to};
      if (!(file << text << std::flush))
        return with.complain(error{errc::io_failed, "cannot write " + *to});
      fmt::print(stderr, "written to {}\n", *to);
      return int{exit_fine};
    };
  });
}

void add_erase(CLI::App& group, session& with, command& chosen) {
  auto* c =
      add_command(group, "erase", "Erase a person: their key is destroyed. Prints the receipt",
                  "  candorctl user erase u-42");
  auto user = std::make_shared<std::string>();
  c->add_option("USER", *user, "the person")->required();
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().call("DELETE", path_of(*user));
      if (!answer)
        return with.complain(answer.error());
      with.print(*answer, [](const json& a) {
        fmt::print("receipt     {}\n", field(a, "receipt"));
        fmt::print("subject     {}  (the person's name in the audit log)\n", field(a, "subject"));
        fmt::print("erased      {}\n", field(a, "erased_at"));
        fmt::print("unreadable  {}\n", field(a, "unreadable_at"));
        fmt::print("final       {}\n", field(a, "final_at"));
        if (auto audit = a.find("audit"); audit != a.end())
          fmt::print("audit       shard {}, entry {}, {}\n", field(*audit, "shard"),
                     field(*audit, "entry"), field(*audit, "hash"));
      });
      return int{exit_fine};
    };
  });
}

void add_opt_out(CLI::App& group, session& with, command& chosen) {
  auto* c = add_command(group, "opt-out",
                        "Ask for an opt-out on a person's behalf, where the policy offers one",
                        "  candorctl user opt-out u-42");
  auto user = std::make_shared<std::string>();
  c->add_option("USER", *user, "the person")->required();
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().call("POST", path_of(*user, "/opt-out"));
      if (!answer)
        return with.complain(answer.error());
      with.print(*answer, print_fields);
      return int{exit_fine};
    };
  });
}

} // namespace

void add_user(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "user", "One person: record, interests, rights");
  add_put(*group, with, chosen);
  add_show(*group, with, chosen);
  add_interests(*group, with, chosen);
  add_forget(*group, with, chosen);
  add_export(*group, with, chosen);
  add_erase(*group, with, chosen);
  add_opt_out(*group, with, chosen);
  add_user_ads(*group, with, chosen);
}

} // namespace candor::ctl
