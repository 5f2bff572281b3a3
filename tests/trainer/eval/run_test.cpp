// The commands eval and generate, from a trained run to their files.

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/trainer/eval/support.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/tasks/images/eval_file.hpp"
#include "trainer/tasks/images/evaluation.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

Json without_times(Json j) {
  j.erase("time");
  j.erase("seconds");
  for (const char* network : {"run", "twin"}) {
    if (!j.contains(network) || j[network].is_null()) continue;
    for (auto& g : j[network]["generation"]) g.erase("seconds_per_image");
  }
  return j;
}

Json evaluate(const std::string& run, const std::string& twin, int threads) {
  EvalArguments arguments;
  arguments.run = run;
  arguments.twin = twin;
  arguments.overrides = {"parallel.threads=" + std::to_string(threads)};
  BOOST_REQUIRE(eval_command(arguments) == 0);
  return Json::parse(read_file(run + "/eval.json"));
}

GenerateArguments few(const std::string& run, const std::string& out) {
  GenerateArguments a;
  a.run = run;
  a.out = out;
  a.count = 12;
  a.steps = 4;
  return a;
}

}  // namespace

BOOST_AUTO_TEST_CASE(eval_writes_what_it_found_the_same_on_any_number_of_threads) {
  const TemporaryFolder folder;
  const std::string run = copy_of_run(folder, "run");
  const Json one = evaluate(run, small_twin(), 1);
  BOOST_TEST(one.at("format") == "blocktrain-eval");
  BOOST_TEST(one.at("version") == 1);
  BOOST_TEST(one.at("settings").at("samples") == 40);
  BOOST_TEST(one.at("frechet").at("training_images") == 60);
  BOOST_TEST(one.at("frechet").at("covariance_singular") == true);  // 40 images, 64 pixels
  BOOST_TEST(one.at("run").at("training") == "block_local");
  BOOST_TEST(one.at("twin").at("training") == "end_to_end");
  for (const char* network : {"run", "twin"}) {
    const Json& n = one.at(network);
    const Json& d = n.at("denoising");
    BOOST_TEST(d.at("images") == 16);
    BOOST_TEST(d.at("blocks").size() == 4U);
    BOOST_TEST(d.at("levels").size() == 19U);  // 16 and 3 inner edges
    double sum = 0, last = 1e9;
    for (const Json& b : d.at("blocks")) sum += b.at("loss").get<double>();
    BOOST_TEST(d.at("loss").get<double>() == sum / 4, boost::test_tools::tolerance(1e-12));
    int edges = 0;
    for (const Json& l : d.at("levels")) {
      const double sigma = l.at("sigma"), weight = (sigma * sigma + 0.25) / (sigma * sigma * 0.25);
      BOOST_TEST(sigma < last);
      last = sigma;
      edges += l.at("edge").get<bool>() ? 1 : 0;
      BOOST_TEST(l.at("loss").get<double>() == weight * l.at("mse").get<double>(), boost::test_tools::tolerance(1e-4));
    }
    BOOST_TEST(edges == 3);
    BOOST_TEST(n.at("generation").size() == 2U);
    for (const Json& g : n.at("generation")) {
      BOOST_TEST(g.at("agreement").get<double>() >= 0);
      BOOST_TEST(g.at("frechet_pixels_training").get<double>() > one.at("frechet").at("floor_pixels").get<double>());
      BOOST_TEST(g.at("flops_per_image").get<double>() > 0);
    }
  }
  // The twin runs all layers at every step: as many operations as end to end likewise.
  const Json& whole = one.at("twin").at("generation").at(1);
  BOOST_TEST(whole.at("flops_per_image") == whole.at("end_to_end_flops_per_image"));
  const Json& local = one.at("run").at("generation").at(1);
  BOOST_TEST(local.at("end_to_end_flops_per_image") == whole.at("flops_per_image"));
  BOOST_TEST(local.at("flops_per_image").get<double>() < whole.at("flops_per_image").get<double>() / 2);

  const Json three = evaluate(run, small_twin(), 3);
  BOOST_TEST(without_times(one) == without_times(three));

  // The run alone finds the same.
  const Json alone = evaluate(run, "", 1);
  BOOST_TEST(alone.at("twin").is_null());
  BOOST_TEST(without_times(alone).at("run") == without_times(one).at("run"));

  // Each left a row in the ledger, and the run can still be resumed.
  int rows = 0;
  for (const std::string& line : lines(run + "/ledger.jsonl")) {
    const Json row = Json::parse(line);
    if (row.at("type") != "eval" || !row.at("block").is_null()) continue;
    ++rows;
    BOOST_TEST(row.at("metrics").at("heldout_loss") == one.at("run").at("denoising").at("loss"));
  }
  BOOST_TEST(rows == 3);
}

BOOST_AUTO_TEST_CASE(a_run_is_its_own_twin) {
  const TemporaryFolder folder;
  const std::string run = copy_of_run(folder, "run");
  Json j = without_times(evaluate(run, small_run(), 1));
  j["run"].erase("folder");
  j["twin"].erase("folder");
  BOOST_TEST(j.at("run") == j.at("twin"));
}

BOOST_AUTO_TEST_CASE(a_twin_that_does_not_compare_is_refused) {
  const TemporaryFolder folder;
  const std::string other = folder.path("other");
  BOOST_REQUIRE(train_small(other, 1, {"noise.sigma_max=40", "blocks.count=2", "budget.steps=3"}) == 0);
  EvalArguments arguments;
  arguments.run = small_run();
  arguments.twin = other;
  BOOST_TEST(refuses("noise.sigma_max, blocks.count", [&] { eval_command(arguments); }));
  BOOST_TEST(!fs::exists(small_run() + "/eval.json"));
}

BOOST_AUTO_TEST_CASE(evaluations_of_every_sampler) {
  BOOST_TEST(evaluations_per_image(SamplerKind::euler, 5, 1) == 5);
  BOOST_TEST(evaluations_per_image(SamplerKind::heun, 5, 1) == 9);
  BOOST_TEST(evaluations_per_image(SamplerKind::ancestral, 5, 2) == 10);
  BOOST_TEST(evaluations_per_image(SamplerKind::euler, 5, 0) == 5);
}

BOOST_AUTO_TEST_CASE(generate_writes_a_picture_that_its_arguments_fix) {
  const TemporaryFolder folder;
  const auto made = [&](const std::string& name, const auto& change) {
    GenerateArguments a = few(small_run(), folder.path(name));
    change(a);
    BOOST_REQUIRE(generate_command(a) == 0);
    return read_file(a.out);
  };
  const std::string plain = made("a.png", [](GenerateArguments&) {});
  BOOST_TEST(plain.substr(1, 3) == "PNG");
  BOOST_TEST(plain == made("b.png", [](GenerateArguments& a) { a.overrides = {"parallel.threads=3"}; }));
  BOOST_TEST(plain == made("b.png", [](GenerateArguments& a) { a.labels = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; }));
  BOOST_TEST(plain != made("b.png", [](GenerateArguments& a) { a.seed = 1; }));
  BOOST_TEST(plain != made("b.png", [](GenerateArguments& a) { a.labels = {7}; }));
  BOOST_TEST(plain != made("b.png", [](GenerateArguments& a) { a.steps = 5; }));
  BOOST_TEST(plain != made("b.png", [](GenerateArguments& a) { a.sampler = "heun"; }));
  BOOST_TEST(plain != made("b.png", [](GenerateArguments& a) { a.guidance = 2; }));
  // Not the default, but what the config means by it: no class at all.
  BOOST_TEST(plain != made("b.png", [](GenerateArguments& a) { a.guidance = 0; }));
  BOOST_TEST(made("b.png", [](GenerateArguments& a) { a.guidance = 0; }) == made("c.png", [](GenerateArguments& a) {
               a.guidance = 0;
               a.labels = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
             }));
  fs::remove(folder.path("c.png"));
  BOOST_TEST(plain != made("b.png", [](GenerateArguments& a) { a.scale = 2; }));
  BOOST_TEST(plain.size() < made("b.png", [](GenerateArguments& a) { a.beside_real = true; }).size());
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder.path(""))) ++files;
  BOOST_TEST(files == 2U);  // nothing aside is left
}

BOOST_AUTO_TEST_CASE(generate_refuses_what_cannot_be) {
  const TemporaryFolder folder;
  const std::string out = folder.path("a.png");
  const auto refused = [&](const std::string& part, const auto& change) {
    GenerateArguments a = few(small_run(), out);
    change(a);
    return refuses(part, [&] { generate_command(a); });
  };
  BOOST_TEST(refused("found 10; accepted: 0 to 9", [](GenerateArguments& a) { a.labels = {3, 10}; }));
  BOOST_TEST(refused("found -1; accepted: 0 to 9", [](GenerateArguments& a) { a.labels = {-1}; }));
  BOOST_TEST(refused("accepted: euler, heun, ancestral (did you mean heun?)",
                     [](GenerateArguments& a) { a.sampler = "huen"; }));
  BOOST_TEST(refused("--guidance", [](GenerateArguments& a) { a.guidance = std::nan(""); }));
  BOOST_TEST(refused("--count", [](GenerateArguments& a) { a.count = -1; }));
  BOOST_TEST(refused("is not a RUN folder", [](GenerateArguments& a) { a.run += "-missing"; }));
  BOOST_TEST(refused("there is no folder", [&](GenerateArguments& a) { a.out = folder.path("no/a.png"); }));
  BOOST_TEST(refused("it is a folder", [&](GenerateArguments& a) { a.out = folder.path("."); }));
  BOOST_TEST(refused("not a regular file", [](GenerateArguments& a) { a.out = "/dev/null"; }));
  BOOST_TEST(refused("data.path=FOLDER", [](GenerateArguments& a) {
    a.beside_real = true;
    a.overrides = {"data.path=/nowhere"};
  }));
  BOOST_TEST(!fs::exists(out));
}

}  // namespace blocktrain::trainer
