// A block at a time: moments are widened, moved, and stored by chance; the signs follow while the
// latents are in the cache.
#include "littlebit/kernels/latent_update.h"

#include <algorithm>
#include <cmath>

#include "floats.h"
#include "littlebit/kernels/signs.h"
#include "variants.h"

namespace littlebit {
namespace {

constexpr int64_t kLanesOfBlock = kMomentBlock / 4;

struct ChanceBits {
  uint32_t words[4][kLanesOfBlock];  // the number 32 k + lane has words[k][lane]
};

// All of a block's random numbers before they are needed: lanes are independent of each other, so
// that the compiler can draw many at a time.
LITTLEBIT_LOOP void draw(const MomentRandom& random, uint64_t block, ChanceBits& bits) {
  for (uint32_t lane = 0; lane < kLanesOfBlock; ++lane) {
    uint32_t words[4];
    moment_bits(random, block, lane, words);
    for (int k = 0; k < 4; ++k) bits.words[k][lane] = words[k];
  }
}

// A block's moments in fp32, and where they are kept in another form.
template <class Moment>
struct MomentsOfBlock {
  float average[kMomentBlock], square[kMomentBlock];

  LITTLEBIT_LOOP void load(const LatentUpdateJob<Moment>* job, int64_t block) {
    const Moment* from = job->exp_avg + block * kMomentBlock;
    const Moment* from_sq = job->exp_avg_sq + block * kMomentBlock;
    // The square root of exp_avg_sq is what is kept, since AdamW divides by it, and half as many
    // octaves then suffice.
    if constexpr (sizeof(Moment) == 1) {
      const float scale = job->average_scales[block], root_scale = job->root_scales[block];
      for (int64_t i = 0; i < kMomentBlock; ++i) {
        average[i] = average_of_code(from[i]) * scale;
        const float root = root_of_code(from_sq[i]) * root_scale;
        square[i] = root * root;
      }
    } else {
      for (int64_t i = 0; i < kMomentBlock; ++i) {
        average[i] = widen(from[i]);
        square[i] = widen(from_sq[i]);
      }
    }
  }

  LITTLEBIT_LOOP void keep(const LatentUpdateJob<Moment>* job, int64_t block) {
    Moment* to = job->exp_avg + block * kMomentBlock;
    Moment* to_sq = job->exp_avg_sq + block * kMomentBlock;
    ChanceBits bits;
    draw(job->random, job->first_block + static_cast<uint64_t>(block), bits);
    // The scale is the largest size of the block: the codes reach from it downwards. Both halves of
    // a random word are used, one for each moment.
    if constexpr (sizeof(Moment) == 1) {
      const float* a = average;
      const float* s = square;
      const float scale = most_of(
          kMomentBlock, [a](int64_t i) { return bits_to_float(float_to_bits(a[i]) & 0x7FFFFFFF); });
      const float root_scale = std::sqrt(most_of(kMomentBlock, [s](int64_t i) { return s[i]; }));
      job->average_scales[block] = scale;
      job->root_scales[block] = root_scale;
      // Of zeros alone the parts are 0 / 1.
      const float divisor = scale > 0 ? scale : 1, root_divisor = root_scale > 0 ? root_scale : 1;
      for (int64_t i = 0; i < kMomentBlock; ++i) {
        const uint32_t chance = bits.words[i / kLanesOfBlock][i % kLanesOfBlock];
        to[i] = average_code(average[i] / divisor, chance & 0xFFFF);
        to_sq[i] = root_code(std::sqrt(square[i]) / root_divisor, chance >> 16);
      }
    } else {
      for (int64_t i = 0; i < kMomentBlock; ++i) {
        const uint32_t chance = bits.words[i / kLanesOfBlock][i % kLanesOfBlock];
        to[i] = bf16_by_chance(average[i], chance & 0xFFFF);
        to_sq[i] = bf16_by_chance(square[i], chance >> 16);
      }
    }
  }
};

// AdamW with decoupled weight decay; no branch, so that all numbers of a block are computed in
// vectors.
LITTLEBIT_LOOP void move(const AdamWNumbers& by, const float* __restrict gradients, float clip,
                         float* __restrict latents, float* __restrict average,
                         float* __restrict square) {
  for (int64_t i = 0; i < kMomentBlock; ++i) {
    const float g = gradients[i] * clip;
    average[i] += by.fresh1 * (g - average[i]);
    square[i] = by.beta2 * square[i] + by.fresh2 * g * g;
    latents[i] = latents[i] * by.keep -
                 by.step_size * average[i] / (std::sqrt(square[i]) / by.root_divisor + by.epsilon);
  }
}

template <class Moment>
LITTLEBIT_LOOP void update_loop(const LatentUpdateJob<Moment>* job, int64_t begin, int64_t end) {
  const float clip = *job->clip;
  const AdamWNumbers numbers = job->numbers;
  for (int64_t block = begin; block < end; ++block) {
    const float* gradients = job->gradients + block * kMomentBlock;
    float* latents = job->latents + block * kMomentBlock;
    // Moments in fp32 are moved where they lie.
    if constexpr (sizeof(Moment) == sizeof(float)) {
      move(numbers, gradients, clip, latents, job->exp_avg + block * kMomentBlock,
           job->exp_avg_sq + block * kMomentBlock);
    } else {
      MomentsOfBlock<Moment> moments;
      moments.load(job, block);
      move(numbers, gradients, clip, latents, moments.average, moments.square);
      moments.keep(job, block);
    }
  }
}

template <class Moment>
int64_t update(const LatentUpdateJob<Moment>& job, int64_t begin, int64_t end, Instructions use) {
  // 16 KiB of latents: they are read again for their signs.
  constexpr int64_t kChunk = 32;  // blocks whose latents stay in the nearest cache
  if (!std::isfinite(*job.clip)) return 0;
  int64_t flips = 0;
  for (int64_t first = begin; first < end; first += kChunk) {
    const int64_t last = std::min(end, first + kChunk);
    run_variant<update_loop<Moment>>(use, &job, first, last);
    flips += pack_signs(job.latents + first * kMomentBlock, (last - first) * kMomentBlock,
                        job.words + first * kMomentBlock / 32, use);
  }
  return flips;
}

}  // namespace

int64_t move_latents(const LatentUpdateJob<float>& job, int64_t begin, int64_t end,
                     Instructions use) {
  return update(job, begin, end, use);
}
int64_t move_latents(const LatentUpdateJob<uint16_t>& job, int64_t begin, int64_t end,
                     Instructions use) {
  return update(job, begin, end, use);
}
int64_t move_latents(const LatentUpdateJob<uint8_t>& job, int64_t begin, int64_t end,
                     Instructions use) {
  return update(job, begin, end, use);
}

}  // namespace littlebit
