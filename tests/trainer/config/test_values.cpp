// One value at a time: what each kind of field takes and refuses, and what is said about it.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/trainer/config/support.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/config/suggest.hpp"
#include "trainer/config/values.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(config_values)

BOOST_AUTO_TEST_CASE(every_kind_of_field_is_read) {
  const Config c = load(
      "seed: 18446744073709551615\n"
      "model: {layers: 6, width: 96, heads: 3, label_dropout: .25}\n"
      "blocks:\n  count: 3\n  layers: [3, 2, 1]\n  training: end_to_end\n  seeds:\n    - 1\n    - "
      "18446744073709551615\n    - 0\n"
      "noise: {partition: uniform_log, sampling: partition, p_mean: -0.5}\n"
      "optimizer: {learning_rate: 2e-3, betas: [0.5, 0.75], decay_steps: -1}\n"
      "budget: {tokens: 1e12}\n"
      "energy: {powercap_root: 'it''s here'}\n",
      {"data.flip=true", "eval.steps=[7]"});
  BOOST_TEST(c.seed == 18446744073709551615u);
  BOOST_TEST(c.model.width == 96);
  BOOST_TEST(dit(c).label_dropout == 0.25);
  BOOST_TEST((c.blocks.layers == std::vector<int>{3, 2, 1}));
  BOOST_TEST((c.blocks.training == TrainingMode::end_to_end));
  BOOST_TEST((c.blocks.seeds == std::vector<std::uint64_t>{1, 18446744073709551615u, 0}));
  BOOST_TEST((c.noise.partition == Partition::uniform_log));
  BOOST_TEST((c.noise.sampling == NoiseSampling::partition));
  BOOST_TEST(c.noise.p_mean == -0.5);
  BOOST_TEST(c.optimizer.learning_rate == 2e-3);
  BOOST_TEST((c.optimizer.betas == std::vector<double>{0.5, 0.75}));
  BOOST_TEST(c.optimizer.decay_steps == -1);
  BOOST_TEST(c.budget.tokens == 1e12);
  BOOST_TEST(c.energy.powercap_root == "it's here");
  BOOST_TEST(images(c).flip);
  BOOST_TEST((images(c).steps == std::vector<int>{7}));
  BOOST_TEST(c.log.directory == "r");
}

BOOST_AUTO_TEST_CASE(every_spelling_of_every_enum_is_read_and_written) {
  const auto spellings_of = [](const std::string& architecture) {
    Config described(*find_architecture(architecture));
    int spellings = 0;
    for (const Setting& setting : describe(described)) {
      const auto* names = std::get_if<NameValue>(&setting.value);
      if (names == nullptr) continue;
      for (std::size_t i = 0; i < names->names.size(); ++i) {
        const std::string spelling(names->names[i]);
        // That one is for targets that are classes.
        if (!names->accepts(i) || (architecture == "dit" && spelling == "equal_information")) continue;
        ++spellings;
        Config c = load("model: {architecture: " + architecture + "}", {setting.name() + "=" + spelling});
        for (const Setting& f : describe(c)) {
          if (f.name() != setting.name()) continue;
          BOOST_TEST(int{*std::get<NameValue>(f.value).value} == static_cast<int>(i));
          BOOST_TEST(to_yaml_value(f.value) == spelling);
        }
      }
    }
    return spellings;
  };
  BOOST_TEST(spellings_of("dit") == 30);
  // Partition, evidence and embedding more; weighting and sampler less.
  BOOST_TEST(spellings_of("vit") == 31);
  BOOST_TEST((load("", {"noise.partition=uniform"}).noise.partition == Partition::uniform));
  BOOST_TEST((load("", {"parallel.transport=local"}).parallel.transport == TransportChoice::local));
  BOOST_TEST(
      (load("", {"parallel.gpu_transport=host"}).parallel.gpu_transport == blocktrain::comm::DeviceTransport::staged));
  BOOST_TEST((load("", {"parallel.activation_checkpointing=layer"}).parallel.activation_checkpointing ==
              ActivationCheckpointing::layer));
  BOOST_TEST((images(load("", {"data.format=cifar10"})).format == DataFormat::cifar10));
  BOOST_TEST((images(load("", {"eval.sampler=heun"})).sampler == SamplerKind::heun));
}

struct Bad {
  std::string text;      // from line 3 of the file
  std::string expected;  // the whole message
};

BOOST_AUTO_TEST_CASE(wrong_values_are_named_with_file_line_and_what_is_accepted) {
  const std::string layers = "accepted: an integer from 1 to 4096";
  const std::vector<Bad> cases = {
      {"model:\n  layers: twelve", "t.yaml:4: model.layers: found \"twelve\"; " + layers},
      {"model:\n  layers: 1e1", "t.yaml:4: model.layers: found \"1e1\"; " + layers},
      {"model:\n  layers: 3.0", "t.yaml:4: model.layers: found \"3.0\"; " + layers},
      {"model:\n  layers: \"12\"", "t.yaml:4: model.layers: found \"12\" in quotes; " + layers},
      {"model:\n  layers: 012", "t.yaml:4: model.layers: found \"012\"; " + layers},
      {"model:\n  layers: +12", "t.yaml:4: model.layers: found \"+12\"; " + layers},
      {"model:\n  layers: 0x10", "t.yaml:4: model.layers: found \"0x10\"; " + layers},
      {"model:\n  layers: 1_000", "t.yaml:4: model.layers: found \"1_000\"; " + layers},
      {"model:\n  layers: true", "t.yaml:4: model.layers: found \"true\"; " + layers},
      {"model:\n  layers: 0", "t.yaml:4: model.layers: found \"0\"; " + layers},
      {"model:\n  layers: 4097", "t.yaml:4: model.layers: found \"4097\"; " + layers},
      {"model:\n  layers: 4294967297", "t.yaml:4: model.layers: found \"4294967297\"; " + layers},
      {"model:\n  layers: 99999999999999999999", "t.yaml:4: model.layers: found \"99999999999999999999\"; " + layers},
      {"model:\n  layers: [3]", "t.yaml:4: model.layers: found a list; " + layers},
      {"model:\n  layers: {a: 3}", "t.yaml:4: model.layers: found a map of keys; " + layers},
      {"model:\n  layers:\n\n\n  width: 64", "t.yaml:4: model.layers: found nothing; " + layers},
      {"seed: 18446744073709551616",
       "t.yaml:3: seed: found \"18446744073709551616\"; accepted: an integer from 0 to 18446744073709551615"},
      {"seed: -1", "t.yaml:3: seed: found \"-1\"; accepted: an integer from 0 to 18446744073709551615"},
      {"noise:\n  p_std: .inf", "t.yaml:4: noise.p_std: found \".inf\"; accepted: a number from 0.01 to 100"},
      {"noise:\n  p_std: nan", "t.yaml:4: noise.p_std: found \"nan\"; accepted: a number from 0.01 to 100"},
      {"noise:\n  p_std: infinity", "t.yaml:4: noise.p_std: found \"infinity\"; accepted: a number from 0.01 to 100"},
      {"noise:\n  p_std: 1e999", "t.yaml:4: noise.p_std: found \"1e999\"; accepted: a number from 0.01 to 100"},
      {"noise:\n  p_std: 1,5", "t.yaml:4: noise.p_std: found \"1,5\"; accepted: a number from 0.01 to 100"},
      {"noise:\n  p_std: 1.2.3", "t.yaml:4: noise.p_std: found \"1.2.3\"; accepted: a number from 0.01 to 100"},
      {"optimizer:\n  learning_rate: 0",
       "t.yaml:4: optimizer.learning_rate: found \"0\"; accepted: a number above 0, at most 10"},
      {"optimizer:\n  betas: [0.9, 1]",
       "t.yaml:4: optimizer.betas: found \"1\"; accepted: a list of 2 numbers from 0 to below 1 (item 2)"},
      {"optimizer:\n  betas: [0.9]",
       "t.yaml:4: optimizer.betas: found a list of 1; accepted: a list of 2 numbers from 0 to below 1"},
      {"optimizer:\n  betas: 0.9",
       "t.yaml:4: optimizer.betas: found \"0.9\"; accepted: a list of 2 numbers from 0 to below 1"},
      {"eval:\n  steps: []",
       "t.yaml:4: eval.steps: found a list of 0; accepted: a list of 1 to 64 integers from 1 to 100000"},
      {"eval:\n  steps: [4, [18]]",
       "t.yaml:4: eval.steps: found a list; accepted: a list of 1 to 64 integers from 1 to 100000 (item 2)"},
      {"model:\n  architecture: vgg", "t.yaml:4: model.architecture: found \"vgg\"; accepted: dit, masked, vit"},
      {"parallel:\n  device: gpu",
       "t.yaml:4: parallel.device: found \"gpu\" (did you mean cpu?); accepted: auto, cpu, cuda"},
      {"parallel:\n  activation_checkpointing: layers",
       "t.yaml:4: parallel.activation_checkpointing: found \"layers\" (did you mean layer?); accepted: none, layer"},
      {"parallel:\n  activation_checkpointing: true",
       "t.yaml:4: parallel.activation_checkpointing: found \"true\"; accepted: none, layer"},
      {"blocks:\n  training: end-to-end",
       "t.yaml:4: blocks.training: found \"end-to-end\" (did you mean end_to_end?); accepted: block_local, end_to_end"},
      {"energy:\n  powercap_root: ''", "t.yaml:4: energy.powercap_root: found an empty text; accepted: a path"},
      {"energy:\n  powercap_root: \"a\\nb\"",
       "t.yaml:4: energy.powercap_root: found \"a\\nb\" in quotes; accepted: a path without control characters"},
      {"energy:\n  powercap_root: ~/x",
       "t.yaml:4: energy.powercap_root: found \"~/x\"; accepted: a path written out; ~ is replaced by a shell only, so "
       "hand "
       "such a path over with --set"},
      {"energy:\n  powercap_root: ${HOME}/x",
       "t.yaml:4: energy.powercap_root: found \"${HOME}/x\"; accepted: a path written out; $ is replaced by a shell "
       "only, so "
       "hand such a path over with --set"},
  };
  for (const Bad& bad : cases) BOOST_TEST(problem(bad.text) == bad.expected);
  for (const char* word : {"yes", "True", "1", "on", "'true'"}) {
    const std::string said = problem("", {std::string("data.flip=") + word});
    BOOST_TEST(contains(said, "data.flip: found "));
    BOOST_TEST(contains(said, "accepted: true or false"));
  }
  BOOST_TEST(problem("energy: {powercap_root: " + std::string(4097, 'x') + "}") ==
             "t.yaml:3: energy.powercap_root: found 4097 bytes; accepted: a path of at most 4096");
}

BOOST_AUTO_TEST_CASE(the_ends_of_every_range_are_accepted_and_what_is_beyond_is_not) {
  Config described;
  int checked = 0;
  const auto accepts = [&](const Setting& setting, const std::string& text) {
    ++checked;
    Node node;
    node.kind = Node::Kind::scalar;
    node.text = text;
    return !assign(setting, node).has_value();
  };
  for (const Setting& setting : describe(described)) {
    BOOST_TEST_CONTEXT(setting.name()) {
      const auto integers = [&](const IntegerRange& r) {
        BOOST_TEST(accepts(setting, std::to_string(r.lowest)));
        BOOST_TEST(accepts(setting, std::to_string(r.highest)));
        BOOST_TEST(!accepts(setting, std::to_string(r.lowest - 1)));
        BOOST_TEST(!accepts(setting, std::to_string(r.highest + 1)));
      };
      if (const auto* f = std::get_if<IntValue>(&setting.value)) integers(f->range);
      if (const auto* g = std::get_if<LongValue>(&setting.value)) integers(g->range);
      if (const auto* h = std::get_if<NumberValue>(&setting.value)) {
        const auto step = [](double v) { return std::max(std::abs(v) * 1e-3, 1e-31); };
        BOOST_TEST(accepts(setting, shortest(h->range.lowest)) == !h->range.lowest_open);
        BOOST_TEST(accepts(setting, shortest(h->range.highest)) == !h->range.highest_open);
        BOOST_TEST(!accepts(setting, shortest(h->range.lowest - step(h->range.lowest))));
        BOOST_TEST(!accepts(setting, shortest(h->range.highest + step(h->range.highest))));
      }
    }
  }
  BOOST_TEST(checked > 150);
}

BOOST_AUTO_TEST_CASE(every_architecture_of_the_list_has_an_objective_a_task_and_defaults_that_are_keys) {
  for (const Architecture& a : architectures()) {
    BOOST_TEST_CONTEXT(a.name) {
      BOOST_CHECK_NO_THROW(Config{a});
      BOOST_TEST(Config(a).model.architecture == a.name);
      BOOST_TEST(!a.meaning.empty());
    }
  }
}

BOOST_AUTO_TEST_CASE(defaults_are_inside_their_own_ranges) {
  Config c;
  c.log.directory = "r";
  c.data.path = "d";
  BOOST_CHECK_NO_THROW(load_config_text(to_yaml(c), "t.yaml", {}));
}

BOOST_AUTO_TEST_CASE(unknown_keys_come_with_the_nearest_one) {
  const auto said = [](const std::string& text) { return problem(text); };
  BOOST_TEST(contains(said("model: {layrs: 3}"),
                      "t.yaml:3: model.layrs: found an unknown key (did you mean model.layers?); "
                      "accepted: architecture, layers, width"));
  BOOST_TEST(contains(said("model: {lyaers: 3}"), "did you mean model.layers?"));
  BOOST_TEST(contains(said("modle: {layers: 3}"), "t.yaml:3: modle: found an unknown key (did you mean model?)"));
  BOOST_TEST(contains(said("batch: 3"), "did you mean data.batch?"));
  BOOST_TEST(contains(said("model: {batch: 3}"), "did you mean data.batch?"));
  BOOST_TEST(contains(said("optimizer: {lr: 3}"), "accepted: learning_rate, "));
  BOOST_TEST(contains(said("extend: other.yaml"), "did you mean extends?"));
  BOOST_TEST(contains(said("model.layers: 3"), "write `layers:` on a line of its own under `model:`"));
  BOOST_TEST(!contains(said("zzzzzzzz: 3"), "did you mean"));
  BOOST_TEST(contains(said("\"a\\x07b\": 3"), "t.yaml:3: \"a\\x07b\": found an unknown key"));
  BOOST_TEST(contains(said("[1]: 3"), "t.yaml:3: found a list for a key; accepted: the name of a key"));
  BOOST_TEST(contains(said("~: 3"), "found nothing for a key"));
  BOOST_TEST(contains(said("<<: {seed: 3}"), "t.yaml:3: \"<<\": found an unknown key"));
  BOOST_TEST(
      contains(said("model: 3"), "t.yaml:3: model: found \"3\"; accepted: keys of this section, indented: archi"));
  BOOST_TEST(contains(said("model:"), "t.yaml:3: model: found nothing; accepted: keys of this section"));
}

BOOST_AUTO_TEST_CASE(a_key_given_twice_is_an_error) {
  BOOST_TEST(problem("seed: 1\nseed: 1") == "t.yaml:4: seed: found a second time, first on line 3; accepted: once");
  BOOST_TEST(problem("model:\n  width: 6\n  heads: 6\n  width: 6") ==
             "t.yaml:6: model.width: found a second time, first on line 4; accepted: once");
  BOOST_TEST(problem("data: {batch: 3}") == "t.yaml:3: data: found a second time, first on line 2; accepted: once");
}

BOOST_AUTO_TEST_CASE(edit_distances_by_hand) {
  BOOST_TEST(edit_distance("", "") == 0u);
  BOOST_TEST(edit_distance("", "abc") == 3u);
  BOOST_TEST(edit_distance("kitten", "sitting") == 3u);
  BOOST_TEST(edit_distance("heads", "haeds") == 1u);
  BOOST_TEST(edit_distance(std::string(1000, 'a'), std::string(1000, 'b')) == 64u);
}

BOOST_AUTO_TEST_CASE(all_problems_are_told_at_once_by_line_up_to_ten) {
  const std::string said = problem("model:\n  width: x\n  heads: y\nseed: z", {"seed=w"});
  BOOST_TEST(said ==
             "t.yaml:4: model.width: found \"x\"; accepted: an integer from 1 to 65536\n"
             "t.yaml:5: model.heads: found \"y\"; accepted: an integer from 1 to 4096\n"
             "t.yaml:6: seed: found \"z\"; accepted: an integer from 0 to 18446744073709551615\n"
             "--set seed=w: seed: found \"w\"; accepted: an integer from 0 to 18446744073709551615");
  std::string many;
  for (int i = 0; i < 13; ++i) many += "unknown" + std::to_string(i) + ": 1\n";
  const std::string eleven = problem(many);
  BOOST_TEST(std::count(eleven.begin(), eleven.end(), '\n') == 10);
  BOOST_TEST(contains(eleven, "t.yaml:12: unknown9:"));
  BOOST_TEST(!contains(eleven, "unknown10"));
  BOOST_TEST(eleven.ends_with("\nand 3 more"));
}

BOOST_AUTO_TEST_CASE(overrides_win_and_name_themselves) {
  BOOST_TEST(load("model: {layers: 6}\nblocks: {count: 2}", {"model.layers=7", "model.layers=8"}).model.layers == 8);
  BOOST_TEST(load("", {"log.directory=runs/a=b"}).log.directory == "runs/a=b");
  BOOST_TEST(load("", {"blocks.layers=[6, 2, 2, 2]"}).blocks.layers.size() == 4u);
  const auto said = [](const std::string& text) { return problem("", {text}); };
  BOOST_TEST(said("model.layers=x") ==
             "--set model.layers=x: model.layers: found \"x\"; accepted: an integer from 1 to 4096");
  BOOST_TEST(said("model.layers=") ==
             "--set model.layers=: model.layers: found nothing; accepted: an integer from 1 to 4096");
  BOOST_TEST(contains(said("model.layers=3 4"), "--set \"model.layers=3 4\": model.layers: found \"3 4\""));
  BOOST_TEST(contains(said("model.layers"), "--set model.layers: found no KEY=VALUE"));
  BOOST_TEST(contains(said("=3"), "found no KEY=VALUE"));
  BOOST_TEST(
      contains(said("model=3"), "model: found a section; accepted: one of its keys, such as model.architecture"));
  BOOST_TEST(contains(said("modl.layers=3"), "found an unknown section (did you mean model.layers?)"));
  BOOST_TEST(contains(said("model.layrs=3"), "found an unknown key (did you mean model.layers?)"));
  BOOST_TEST(contains(said("learning_rate=3"), "did you mean optimizer.learning_rate?"));
  BOOST_TEST(contains(said("extends=x.yaml"), "found on the command line; accepted: in a file only"));
  BOOST_TEST(contains(said("eval.steps=[1, 2"), "eval.steps: found text that is not YAML"));
  BOOST_TEST(contains(said("data.path=@x"), "data.path: found text that is not YAML"));
}

BOOST_AUTO_TEST_CASE(required_keys_say_how_to_give_them) {
  const std::string said = bare_problem("seed: 1");
  BOOST_TEST(contains(
      said, "t.yaml: log.directory: found nothing; accepted: a path, in the file or by --set log.directory=PATH"));
  BOOST_TEST(
      contains(said, "\nt.yaml: data.path: found nothing; accepted: a path, in the file or by --set data.path=PATH"));
  BOOST_TEST(load_config_text("seed: 1", "t.yaml", {"log.directory=r", "data.path=d"}).data.path == "d");
}

BOOST_AUTO_TEST_SUITE_END()
