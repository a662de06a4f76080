// `candorctl notice`: what people were told, and telling them.
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "tools/candorctl/session.hpp"

namespace candor::ctl {

void add_notice(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "notice", "Notices to people");
  auto* c = add_command(*group, "reached", "Record that a notice reached a person (audited)",
                        "  candorctl notice reached u-42 --policy ai-interactions --revision 1 "
                        "--channel in_app");
  struct given {
    std::string user, policy, channel;
    std::uint32_t revision = 1;
    std::optional<std::string> at;
  };
  auto g = std::make_shared<given>();
  c->add_option("USER", g->user, "the person")->required();
  c->add_option("--policy", g->policy, "the policy's id")->required()->type_name("ID");
  c->add_option("--revision", g->revision, "the notice's revision")->required()->type_name("N");
  c->add_option("--channel", g->channel, "in_app or email")
      ->required()
      ->type_name("CHANNEL")
      ->check(CLI::IsMember({"in_app", "email"}).description(""));
  c->add_option("--at", g->at, "when it reached them [now]")->type_name("TIME");
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      json arguments = {{"user", g->user},
                        {"policy", g->policy},
                        {"revision", g->revision},
                        {"channel", g->channel}};
      if (g->at)
        arguments["at"] = *g->at;
      return call_and_print(with, "notice_reached", arguments, [](const json& a) {
        fmt::print("recorded, reached at {}\n", field(a, "at"));
      });
    };
  });
  auto* list = add_command(*group, "list", "What a person was told; looking reaches nobody",
                           "  candorctl notice list u-42");
  auto whom = std::make_shared<std::string>();
  list->add_option("USER", *whom, "the person")->required();
  list->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().get(
          fmt::format("/v1/users/{}/notices?peek=true", http_client::escape(*whom)));
      if (!answer)
        return with.complain(answer.error());
      with.print_list(*answer, "notices", [](const json& a) {
        std::vector<std::vector<std::string>> rows = {
            {"NOTICE", "POLICY", "REVISION", "CHANNEL", "LANG", "SENT", "REACHED"}};
        for (const auto& n : a.at("notices"))
          rows.push_back({field(n, "notice"), field(n, "policy"), field(n, "revision"),
                          field(n, "channel"), field(n, "lang"), field(n, "sent"),
                          field(n, "reached")});
        print_table(rows);
      });
      return int{exit_fine};
    };
  });
  auto* bounced = add_command(*group, "bounced",
                              "A mail came back: its notice counts as not delivered (audited)",
                              "  candorctl notice bounced u-42 n-abcdefghijklmnop");
  auto notice = std::make_shared<std::string>();
  bounced->add_option("USER", *whom, "the person")->required();
  bounced->add_option("NOTICE", *notice, "its id, which is the mail's Message-ID")->required();
  bounced->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return call_and_print(
          with, "notice_bounced", {{"user", *whom}, {"notice", *notice}},
          [](const json&) { fmt::print("recorded; the person is told in the app\n"); });
    };
  });
  auto* retry = add_command(*group, "retry", "Send a person's mails that failed again (audited)",
                            "  candorctl notice retry u-42");
  retry->add_option("USER", *whom, "the person")->required();
  retry->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return call_and_print(with, "notice_retry", {{"user", *whom}},
                            [](const json&) { fmt::print("they are due again\n"); });
    };
  });
  auto* standing =
      add_command(*group, "status", "How the notices of every policy stand (as `policy readiness`)",
                  "  candorctl notice status");
  standing->callback([&with, &chosen] { chosen = [&with] { return show_readiness(with); }; });
  for (auto pausing : {true, false}) {
    auto* p = add_command(*group, pausing ? "pause" : "resume",
                          pausing ? "Create and send no notices until resumed (audited)"
                                  : "Go on creating and sending notices (audited)",
                          pausing ? "  candorctl notice pause" : "  candorctl notice resume");
    p->callback([=, &with, &chosen] {
      chosen = [=, &with] {
        return call_and_print(with, "notices_pause", {{"paused", pausing}}, [](const json& a) {
          fmt::print("{}\n", a.value("paused", false) ? "paused" : "going on");
        });
      };
    });
  }
}

} // namespace candor::ctl
