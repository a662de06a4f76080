#include "actors/gateway/pages.hpp"

namespace candor::gateway {

std::string_view front_page() noexcept {
  return R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Candor</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif }
  body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
  code { background: #8882; padding: .1em .3em; border-radius: .2em }
</style>
<h1>Candor</h1>
<p>This is a node of Candor, a personalization engine that keeps to a data-use policy and can show
that it did.</p>
<ul>
  <li><a href="/v1/openapi.yaml">The HTTP interface</a> (OpenAPI 3.1)</li>
  <li><a href="/v1/cluster">The state of this node</a></li>
  <li><a href="/metrics">Metrics</a></li>
  <li><a href="/readyz">Is it ready?</a> <a href="/livez">Does it live?</a></li>
</ul>
<p>Where keys are configured, send <code>Authorization: Bearer KEY</code>. On the command line:
<code>candorctl --help</code>.</p>
</html>
)html";
}

} // namespace candor::gateway
