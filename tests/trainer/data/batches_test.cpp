// Batches are pure functions of the step: restarts, jumps, shards and prefetching never change them.

#include <algorithm>
#include <array>
#include <atomic>

#include "kernels/arena.hpp"
#include "tests/support/counting_new.hpp"
#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/tasks/images/image_layout.hpp"
#include "trainer/tasks/images/image_samples.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

/// What a batch holds, copied out of the ring.
struct Copy {
  std::uint32_t step, first_sample;
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  bool operator==(const Copy&) const = default;
};

Copy copy_of(const blocks::Batch& b) {
  const float* images = b.fields[image_field].as<float>();
  const std::int32_t* labels = b.fields[label_field].as<std::int32_t>();
  return {b.step,
          b.first_sample,
          {images, images + b.fields[image_field].size()},
          {labels, labels + b.fields[label_field].size()}};
}

struct Digits {
  ImageSamples samples{ImageDataset::open(fixture_folder()), "digits", true};
  ImageSamples unflipped{ImageDataset::open(fixture_folder()), "digits", false};
  const ImageDataset& data = samples.dataset();
  SampleOrder order{7, data.count(Split::train)};

  BatchLoaderOptions options(std::uint32_t first_step = 0) const {
    BatchLoaderOptions o;
    o.batch = o.end = 16;
    o.seed = 7;
    o.first_step = first_step;
    return o;
  }
  /// Steps [first, first + count) from a fresh loader.
  std::vector<Copy> run(const BatchLoaderOptions& o, int count) const { return run(o, count, samples); }
  std::vector<Copy> run(const BatchLoaderOptions& o, int count, const Samples& from) const {
    kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
    BatchLoader loader(from, order, o, arena);
    std::vector<Copy> batches;
    for (int i = 0; i < count; ++i) batches.push_back(copy_of(loader.next()));
    return batches;
  }
};

blocks::Batch host_batch(kernels::Arena& arena) { return blocks::bind_batch(arena, image_layout({1, 1, 1}, 1), 1); }

}  // namespace

BOOST_FIXTURE_TEST_SUITE(batches, Digits)

BOOST_AUTO_TEST_CASE(direct_access) {
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  const blocks::Batch batch = blocks::bind_batch(arena, samples.layout(), 3);
  BOOST_TEST(batch.fields[image_field].rank == 4);
  const std::vector<std::int64_t> indices{19, 0, 7};
  samples.fill(batch, Split::heldout, indices, std::nullopt);
  for (std::size_t r = 0; r < 3; ++r) {
    BOOST_TEST(batch.fields[label_field].as<std::int32_t>()[r] == data.label(Split::heldout, indices[r]));
    for (std::size_t e = 0; e < 64; ++e) {
      BOOST_TEST(batch.fields[image_field].as<float>()[r * 64 + e] ==
                 pixel_values[data.image(Split::heldout, indices[r])[e]]);
    }
  }
  BOOST_CHECK_THROW(samples.fill(batch, Split::heldout, std::vector<std::int64_t>{0, 1, 20}, std::nullopt),
                    std::logic_error);
  BOOST_CHECK_THROW(samples.fill(batch, Split::heldout, std::vector<std::int64_t>{0, 1}, std::nullopt),
                    std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_batch_is_what_the_order_says) {
  const std::vector<Copy> steps =
      run(options(), 9, unflipped);  // 144 samples: over two epochs of 60, and across their ends
  for (std::size_t s = 0; s < steps.size(); ++s) {
    BOOST_TEST(steps[s].step == s);
    for (std::size_t i = 0; i < 16; ++i) {
      const std::int64_t index = order.index(s * 16 + i);
      BOOST_TEST(steps[s].labels[i] == data.label(Split::train, index));
      BOOST_TEST(steps[s].images[i * 64 + 20] == pixel_values[data.image(Split::train, index)[20]]);
    }
  }
  std::vector<std::int64_t> first_epoch;
  for (std::uint64_t p = 0; p < 60; ++p) first_epoch.push_back(order.index(p));
  std::ranges::sort(first_epoch);
  BOOST_TEST((first_epoch[0] == 0 && first_epoch[59] == 59));
}

BOOST_AUTO_TEST_CASE(flips_mirror_a_keyed_half) {
  const auto straight = run(options(), 40, unflipped);
  const auto flipped = run(options(), 40);
  int mirrored = 0;
  for (std::size_t s = 0; s < 40; ++s) {
    BOOST_TEST(straight[s].labels == flipped[s].labels);
    for (std::size_t i = 0; i < 16; ++i) {
      const bool flip = is_flipped({7, static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(i)});
      mirrored += flip ? 1 : 0;
      for (std::size_t e = 0; e < 64; ++e) {
        const std::size_t from = flip ? e / 8 * 8 + 7 - e % 8 : e;
        if (flipped[s].images[i * 64 + e] != straight[s].images[i * 64 + from]) BOOST_ERROR("wrong pixel");
      }
    }
  }
  BOOST_TEST((mirrored > 320 - 76 && mirrored < 320 + 76));  // six standard deviations of 640 coins
  BOOST_TEST((is_flipped({7, 0, 0}) == is_flipped({7, 0, 0})));
}

BOOST_AUTO_TEST_CASE(which_samples_of_a_seed_are_mirrored_stays_what_it_is) {
  // Computed apart, from the definition: runs that were begun with it are resumed with it.
  const std::string expected[] = {"1111101100111010", "0101011010100100"};
  for (std::uint32_t step = 0; step < 2; ++step) {
    std::string found;
    for (std::uint32_t sample = 0; sample < 16; ++sample) found += is_flipped({7, step, sample}) ? '1' : '0';
    BOOST_TEST(found == expected[step]);
  }
}

BOOST_AUTO_TEST_CASE(a_restart_at_any_step_goes_on_the_same) {
  const auto whole = run(options(), 12);
  for (std::uint32_t first = 0; first < 12; ++first) {
    const auto rest = run(options(first), 12 - static_cast<int>(first));
    BOOST_TEST(std::equal(rest.begin(), rest.end(), whole.begin() + first));
  }
}

BOOST_AUTO_TEST_CASE(depth_changes_nothing) {
  BatchLoaderOptions o = options();
  const auto two = run(o, 12);
  for (const int depth : {1, 5}) {
    o.depth = depth;
    BOOST_TEST((run(o, 12) == two));
  }
}

BOOST_AUTO_TEST_CASE(shards_are_rows_of_the_whole) {
  const auto whole = run(options(), 5);
  for (const auto& [begin, end] : {std::pair{0, 5}, std::pair{5, 11}, std::pair{11, 16}}) {
    BatchLoaderOptions o = options();
    o.begin = begin;
    o.end = end;
    const auto part = run(o, 5);
    for (std::size_t s = 0; s < 5; ++s) {
      BOOST_TEST(part[s].first_sample == static_cast<std::uint32_t>(begin));
      BOOST_TEST(std::equal(part[s].images.begin(), part[s].images.end(), whole[s].images.begin() + begin * 64));
      BOOST_TEST(std::equal(part[s].labels.begin(), part[s].labels.end(), whole[s].labels.begin() + begin));
    }
  }
}

BOOST_AUTO_TEST_CASE(any_jumps_give_the_batches_of_their_steps) {
  const auto whole = run(options(), 64);
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  BatchLoader loader(samples, order, options(), arena);
  std::uint32_t state = 12345;
  const auto random = [&](std::uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 16) % below;
  };
  std::uint32_t step = 0;
  for (int i = 0; i < 3000; ++i) {
    // Short and long jumps, forward and back, some twice in a row, some to where it stands.
    if (random(3) == 0) loader.seek(step = random(60));
    if (random(3) == 0) loader.seek(step = std::min(60u, step + random(4)));
    if (random(8) == 0) loader.release();
    const blocks::Batch& batch = loader.next();
    if (!(copy_of(batch) == whole[step])) BOOST_ERROR("wrong batch of step " << step);
    step = std::min(step + 1, 60u);
    loader.seek(step);
  }
}

BOOST_AUTO_TEST_CASE(bytes_are_planned) {
  kernels::Arena measure = kernels::Arena::measuring("batches");
  BatchLoader unbound(samples, order, options(), measure);
  BOOST_CHECK_THROW(unbound.next(), std::logic_error);
  kernels::Arena priced = kernels::Arena::measuring("batches");
  bind_loader_batches(priced, samples.layout(), options());
  BOOST_TEST(priced.peak() == measure.peak());
  BOOST_TEST(measure.peak() >= 3u * 16 * (64 + 1) * 4);
  kernels::Arena exact = kernels::Arena::host("batches", measure.peak());
  BatchLoader loader(samples, order, options(), exact);
  BOOST_TEST(exact.peak() == measure.peak());
  BOOST_TEST(loader.next().step == 0u);
}

BOOST_AUTO_TEST_CASE(the_consumer_allocates_nothing) {
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  BatchLoader loader(samples, order, options(), arena);
  double sum = 0;
  const long before = allocations_of_this_thread();
  for (int i = 0; i < 200; ++i) {
    sum += loader.next().fields[image_field].as<float>()[0];
    if (i % 10 == 0) loader.release();
    if (i % 50 == 0) loader.seek(static_cast<std::uint32_t>(i));
  }
  BOOST_TEST(allocations_of_this_thread() == before);
  BOOST_TEST(sum != 0);
  copy_of(loader.next());  // the counter does count
  BOOST_TEST(allocations_of_this_thread() > before);
}

BOOST_AUTO_TEST_CASE(wrong_options_are_refused) {
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  BatchLoaderOptions o = options();
  o.end = 17;
  BOOST_CHECK_THROW(BatchLoader(samples, order, o, arena), std::logic_error);
  o = options();
  o.depth = 0;
  BOOST_CHECK_THROW(BatchLoader(samples, order, o, arena), std::logic_error);
  BOOST_CHECK_THROW(BatchLoader(samples, SampleOrder(7, 61), options(), arena), std::logic_error);
}

BOOST_AUTO_TEST_CASE(an_error_of_the_thread_comes_out_of_next) {
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  Prefetcher prefetcher(
      {host_batch(arena), host_batch(arena), host_batch(arena)},
      [](blocks::Batch& batch) {
        if (batch.step == 3) throw InputError("image 3 is bad");
        *batch.fields[image_field].as<float>() = static_cast<float>(batch.step);
      },
      0);
  for (int i = 0; i < 3; ++i) BOOST_TEST(*prefetcher.next().fields[image_field].as<float>() == static_cast<float>(i));
  BOOST_CHECK_EXCEPTION(prefetcher.next(), InputError,
                        [](const InputError& e) { return std::string(e.what()) == "image 3 is bad"; });
  BOOST_CHECK_THROW(prefetcher.next(), InputError);
}

BOOST_AUTO_TEST_CASE(a_stuck_thread_is_an_error_past_the_deadline) {
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  std::atomic<bool> go_on = false;
  Prefetcher prefetcher(
      {host_batch(arena), host_batch(arena)}, [&](blocks::Batch&) { go_on.wait(false); }, 5, std::chrono::seconds(1));
  BOOST_CHECK_EXCEPTION(prefetcher.next(), RunError, [](const RunError& e) {
    return std::string(e.what()).find("step 5 within 1 s") != std::string::npos;
  });
  go_on = true;
  go_on.notify_all();
}

BOOST_AUTO_TEST_CASE(never_more_than_the_ring_is_made_ahead) {
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  std::atomic<std::uint32_t> furthest = 0;
  Prefetcher prefetcher(
      {host_batch(arena), host_batch(arena), host_batch(arena)}, [&](blocks::Batch& batch) { furthest = batch.step; },
      0);
  for (std::uint32_t step = 0; step < 200; ++step) {
    const std::uint32_t got = prefetcher.next().step;
    BOOST_TEST(got == step);
    BOOST_TEST(furthest <= step + 2);  // one in hand, two ahead
  }
}

BOOST_AUTO_TEST_CASE(a_jump_to_where_it_stands_throws_nothing_away) {
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  std::array<std::atomic<int>, 64> fills{};
  {
    Prefetcher prefetcher(
        {host_batch(arena), host_batch(arena), host_batch(arena)}, [&](blocks::Batch& batch) { ++fills[batch.step]; },
        0);
    for (std::uint32_t step = 0; step < 40; ++step) {
      BOOST_TEST(prefetcher.next().step == step);
      prefetcher.seek(step + 1);
    }
  }
  for (std::size_t step = 0; step < 40; ++step) BOOST_TEST(fills[step] == 1, "step " << step << ": " << fills[step]);
}

BOOST_AUTO_TEST_CASE(the_last_step_of_32_bits) {
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  Prefetcher prefetcher(
      {host_batch(arena), host_batch(arena), host_batch(arena)}, [](blocks::Batch&) {}, 0xfffffffeu);
  BOOST_TEST(prefetcher.next().step == 0xfffffffeu);
  BOOST_TEST(prefetcher.next().step == 0xffffffffu);
  BOOST_CHECK_THROW(prefetcher.next(), std::logic_error);
}

BOOST_AUTO_TEST_CASE(ending_at_any_moment) {
  for (int taken = 0; taken < 60; ++taken) run(options(), taken % 6);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
