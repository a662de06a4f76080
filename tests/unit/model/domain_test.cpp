/// Advertisers' domains have one form, however an address or a block list spells them.

#include <catch2/catch.hpp>

#include "storage/model/domain.hpp"

using namespace candor::model;

TEST_CASE("case, port and the root's dot make no other domain", "[campaign]") {
  for (const auto* same : {"example.org", "Example.ORG", "example.org.", "example.org:8443",
                           "EXAMPLE.org.:443", "https://user:word@Example.org:443/x?y#z"})
    CHECK(canonical_domain(same) == "example.org");
  CHECK(canonical_domain("Acme") == "acme");
  CHECK(canonical_domain("acme:eu") == "acme:eu"); // no port
  CHECK(canonical_domain("acme:eu:1") == "acme:eu:1");
  CHECK(canonical_domain("") == "");
  CHECK(canonical_domain(".") == "");
}

TEST_CASE("a host is read as a browser reads it", "[campaign]") {
  CHECK(host_of("https://example.org") == "example.org");
  CHECK(host_of("https://example.org?u=https://a.example") == "example.org");
  CHECK(host_of("https://ok.example@evil.example/") == "evil.example");
  CHECK(host_of("https://evil.example\\@ok.example") == "evil.example");
  CHECK(host_of("https://evil.example/@ok.example") == "evil.example");
  CHECK(host_of("https://evil.example#@ok.example") == "evil.example");
  CHECK(host_of("https://ev\til.exa\nmple/x") == "evil.example");
  CHECK(host_of("https://evil.example./x") == "evil.example");
  CHECK(host_of("https://[2001:DB8::1]:443/x") == "[2001:db8::1]");
  CHECK(host_of("https:///evil.example") == "");
  CHECK(host_of("https://") == "");
}

TEST_CASE("a name of other letters is its punycode", "[campaign]") {
  CHECK(canonical_domain("bücher.example") == "xn--bcher-kva.example");
  CHECK(canonical_domain("BÜCHER.example.") == "xn--bcher-kva.example");
  CHECK(canonical_domain("XN--bcher-KVA.example") == "xn--bcher-kva.example");
  CHECK(host_of("https://www.Bücher.example:443/x") == "www.xn--bcher-kva.example");
  CHECK(host_of("https://ｅｖｉｌ。example/") == "evil.example"); // full-width letters and dot
  // An advertiser's name too has one form, whatever its case.
  CHECK(canonical_domain("Müller & Söhne") == canonical_domain("MÜLLER & SÖHNE"));
  CHECK(canonical_domain("Müller & Söhne") != canonical_domain("Muller & Sohne"));
}

TEST_CASE("a domain has those under it, and no others", "[campaign]") {
  CHECK(lies_in("example.org", "example.org"));
  CHECK(lies_in("shop.example.org", "example.org"));
  CHECK(lies_in("shop.example.org", "org"));
  CHECK_FALSE(lies_in("badexample.org", "example.org"));
  CHECK_FALSE(lies_in("example.org", "shop.example.org"));
  CHECK_FALSE(lies_in("example.org", ""));
  CHECK_FALSE(lies_in("", ""));
}
