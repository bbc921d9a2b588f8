// A head at a time, 64 queries at a time, against so many keys that their scores stay in the second
// cache. What the queries of a block cannot see is left out by whole blocks. Backward, scores are
// made again, and lie transposed: then no product needs a block of them turned round.
#include "ops/attention_blocks.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

// The scores of a forward block are 64 KiB of fp32. A backward block has two arrays of 32 KiB, and
// in bf16 three more of half that size.
constexpr int64_t kQueries = 64, kKeys = 256, kGradientKeys = 128;
constexpr int64_t kUnit = 32;   // keys are given to products by so many
constexpr int64_t kApart = 16;  // added to strides: powers of two would share sets of the caches

int64_t round_up(int64_t number, int64_t unit) { return (number + unit - 1) / unit * unit; }

// c [m, n] = a [m, k] b [k, n], or what is there and that.
struct Sizes {
  int64_t m, n, k;
};
void multiply(const Sizes& of, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
              float* c, int64_t c_stride, bool adds) {
  at::native::cpublas::brgemm(of.m, of.n, of.k, a_stride, b_stride, c_stride, adds, a, b, c,
                              /*is_vnni=*/false);
}
void multiply(const Sizes& of, const uint16_t* a, int64_t a_stride, const uint16_t* b,
              int64_t b_stride, float* c, int64_t c_stride, bool adds) {
  at::native::cpublas::brgemm(of.m, of.n, of.k, a_stride, b_stride, c_stride, adds,
                              reinterpret_cast<const at::BFloat16*>(a),
                              reinterpret_cast<const at::BFloat16*>(b), c, /*is_vnni=*/true);
}

// The second factor of a product: rows as they are, in bf16 in pairs (pair_rows).
template <class T>
constexpr int64_t kTogether = std::is_same_v<T, uint16_t> ? 2 : 1;

template <class T>
const T* part_of(const RowsOf<T>& factor, int64_t row, int64_t col) {
  return factor.data + row * factor.stride + col * kTogether<T>;
}
void make_factor(const RowsOf<const float>& from, const RowsOf<float>& to) { copy_rows(from, to); }
void make_factor(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) {
  pair_rows(from, to);
}
void make_turned_factor(const RowsOf<const float>& from, const RowsOf<float>& to) {
  transpose_rows(from, to);
}
void make_turned_factor(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) {
  pair_transposed_rows(from, to);
}

// Memory of one task, handed out by pieces that begin at cache lines. Sizes are announced first, so
// that each task allocates once.
class Scratch {
 public:
  template <class T>
  void want(int64_t count) {
    size_ += round_up(count * static_cast<int64_t>(sizeof(T)), 64);
  }
  void take_memory() {
    memory_ = at::empty({size_}, at::TensorOptions().dtype(at::kByte));
    next_ = static_cast<uint8_t*>(memory_.mutable_data_ptr());
  }
  template <class T>
  T* get(int64_t count) {
    auto* piece = reinterpret_cast<T*>(next_);
    next_ += round_up(count * static_cast<int64_t>(sizeof(T)), 64);
    LB_ASSERT(next_ <= static_cast<uint8_t*>(memory_.mutable_data_ptr()) + size_, "as wanted");
    return piece;
  }
  int64_t size() const { return size_; }
  template <class T>
  RowsOf<T> rows(int64_t rows, int64_t cols, int64_t stride) {
    return {get<T>(rows * stride), stride, rows, cols};
  }

 private:
  int64_t size_ = 0;
  at::Tensor memory_;
  uint8_t* next_ = nullptr;
};

// Rows begin .. begin + count - 1 of a head.
template <class T>
RowsOf<const T> rows_of_head(const at::Tensor& x, int64_t batch, int64_t head, int64_t begin,
                             int64_t count) {
  const T* data = static_cast<const T*>(x.const_data_ptr()) + batch * x.stride(0) +
                  head * x.stride(1) + begin * x.stride(2);
  return {data, x.stride(2), count, x.size(3)};
}
template <class T>
RowsOf<T> rows_to_write(const at::Tensor& x, int64_t batch, int64_t head, int64_t begin,
                        int64_t count) {
  T* data = static_cast<T*>(x.mutable_data_ptr()) + batch * x.stride(0) + head * x.stride(1) +
            begin * x.stride(2);
  return {data, x.stride(2), count, x.size(3)};
}

// The first key that a query sees, at a whole unit before it. What lies between that unit and the
// key is masked like everything else that is not seen.
int64_t first_seen(int64_t query, int64_t window) {
  return window > 0 ? std::max<int64_t>(0, query - window + 1) / kUnit * kUnit : 0;
}

// The state of this thread's products is let go of at a chunk's end.
struct Products {
  explicit Products(bool narrow) : in_bf16(narrow) {}
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;
  ~Products() { at::native::cpublas::brgemm_release(in_bf16); }
  bool in_bf16;
};

// Forward, for each row of queries, with s the scores of the next block of keys (online softmax):
//
//     m' = max(m, max s)    l' = l e^(m - m') + sum e^(s - m')    o' = o e^(m - m') + e^(s - m') V
//
// and at the end y = o / l and log_sum = m + log l. Subtracting the running maximum keeps every
// power at 1 or below, so that nothing overflows; what was mixed before a larger score appeared is
// scaled down when it does.
struct Forward {
  const at::Tensor &q, &k, &v;
  AttentionRule rule;
  const at::Tensor &y, &log_sum;
  int64_t length() const { return q.size(2); }
  int64_t size() const { return q.size(3); }
};

// Queries begin .. end - 1 of a head.
template <class T>
void attend(const Forward& job, int64_t batch, int64_t head, int64_t begin, int64_t end) {
  const int64_t size = job.size(), kv_head = head / (job.q.size(1) / job.k.size(1));
  // These queries see the keys base .. end - 1. They are laid out for the products once, and serve
  // all of this task's blocks of queries.
  const int64_t base = first_seen(begin, job.rule.window), keys_given = end - base;
  const int64_t keys = round_up(keys_given, kUnit), keys_stride = keys + kApart;
  constexpr int64_t kStride = kKeys + kApart;
  constexpr bool kIsWide = std::is_same_v<T, float>;
  Scratch scratch;
  scratch.want<T>(size * keys_stride);
  scratch.want<T>(keys * size);
  scratch.want<T>(kQueries * size);
  scratch.want<float>(kQueries * kStride);
  if (!kIsWide) scratch.want<T>(kQueries * kStride);
  scratch.want<float>(kQueries * size);
  scratch.want<float>(2 * kQueries);
  scratch.take_memory();
  const RowsOf<T> of_k = scratch.rows<T>(size, keys, keys_stride);
  const RowsOf<T> of_v = scratch.rows<T>(keys, size, size);
  T* const queries_of = scratch.get<T>(kQueries * size);
  auto* const scores = scratch.get<float>(kQueries * kStride);
  T* const weights = [&] {
    if constexpr (kIsWide) return scores;
    return scratch.get<T>(kQueries * kStride);
  }();
  auto* const mixed = scratch.get<float>(kQueries * size);
  auto* const most = scratch.get<float>(2 * kQueries);
  float* const sum = most + kQueries;
  // Keys beyond those given are zeros, and must be: a weight of 0 times whatever the memory holds
  // would be NaN where that is one.
  make_turned_factor(rows_of_head<T>(job.k, batch, kv_head, base, keys_given), of_k);
  make_factor(rows_of_head<T>(job.v, batch, kv_head, base, keys_given), of_v);
  float* const log_sums =
      job.log_sum.mutable_data_ptr<float>() + (batch * job.q.size(1) + head) * job.length();
  // Rows of queries are padded to 16 (a tile's height); what the padding gives is never read.
  for (int64_t query = begin; query < end; query += kQueries) {
    const int64_t queries = std::min(kQueries, end - query), rows = round_up(queries, 16);
    copy_rows(rows_of_head<T>(job.q, batch, head, query, queries), {queries_of, size, rows, size});
    std::fill_n(most, kQueries, -std::numeric_limits<float>::infinity());
    std::fill_n(sum, kQueries, 0.0F);
    // Causal: the last key that a query of this block sees is the last query's own.
    const int64_t first = first_seen(query, job.rule.window), last = query + queries;
    for (int64_t key = first; key < last; key += kKeys) {
      const int64_t count = std::min(kKeys, round_up(last - key, kUnit));
      const bool is_further = key > first;
      multiply({rows, count, size}, queries_of, size, part_of(of_k, 0, key - base), keys_stride,
               scores, kStride, /*adds=*/false);
      // Scores to weights, m and l; scales down what is in `mixed`, to which the product then adds.
      attention_weights(AttentionBlock<T>{.rule = job.rule,
                                          .first_query = query,
                                          .queries = queries,
                                          .first_key = key,
                                          .keys = count,
                                          .scores = scores,
                                          .weights = weights,
                                          .stride = kStride,
                                          .most = most,
                                          .sum = sum,
                                          .output = is_further ? mixed : nullptr,
                                          .size = size});
      multiply({rows, size, count}, weights, kStride, part_of(of_v, key - base, 0), size, mixed,
               size, is_further);
    }
    const RowsOf<T> y = rows_to_write<T>(job.y, batch, head, query, queries);
    end_attention(AttentionEnd<T>{
        {mixed, size, queries, size}, most, sum, y.data, y.stride, log_sums + query});
  }
}

// Backward, with P the weights and L the logarithms of their sums, both by queries and keys:
//
//     P = e^(S - L)    dP = dY V^T    dS = P * (dP - delta)
//     dV = P^T dY      dQ = dS K      dK = dS^T Q
//
// delta is what the softmax's derivative subtracts, the sum over keys of P * dP. By Y = P V that is
// the sum over a row of dY * Y, which needs no pass over keys; a gradient of L itself is subtracted
// from it, because dL / dS = P. All blocks are made transposed, [keys, queries]: dV and dK are then
// plain products, and dQ is made transposed, too, as K^T dS with K transposed once per head.
struct Backward {
  const at::Tensor &dy, &d_log_sum, &q, &k, &v, &y, &log_sum;
  AttentionRule rule;
  const at::Tensor& dq;
  int64_t length() const { return q.size(2); }
  int64_t size() const { return q.size(3); }
};

// Of one head of keys and values and some of the heads of queries that look at it.
template <class T>
class HeadGradients {
 public:
  HeadGradients(const Backward& job, int64_t batch, int64_t kv_head)
      : job_(job),
        batch_(batch),
        size_(job.size()),
        keys_(round_up(job.length(), kUnit)),
        scratch_(wanted(keys_, size_)) {
    scratch_.take_memory();
    k_ = scratch_.rows<T>(keys_, size_, size_);
    v_ = scratch_.rows<T>(keys_, size_, size_);
    turned_k_ = scratch_.rows<T>(size_, keys_, keys_ + kApart);
    dk_ = scratch_.get<float>(keys_ * size_);
    dv_ = scratch_.get<float>(keys_ * size_);
    q_ = scratch_.rows<T>(kQueries, size_, size_);
    dy_ = scratch_.rows<T>(kQueries, size_, size_);
    turned_q_ = scratch_.rows<T>(size_, kQueries, kQueries);
    turned_dy_ = scratch_.rows<T>(size_, kQueries, kQueries);
    turned_dq_ = scratch_.get<float>(kQueries * size_);
    delta_ = scratch_.get<float>(kQueries);
    log_sum_ = scratch_.get<float>(kQueries);
    // The last block's queries may be fewer than are computed; the lanes beyond read these zeros.
    std::fill_n(delta_, kQueries, 0.0F);
    std::fill_n(log_sum_, kQueries, 0.0F);
    scores_ = scratch_.get<float>(kBlock);
    d_weights_ = scratch_.get<float>(kBlock);
    if constexpr (kIsWide) {
      weights_ = scores_;
      d_scores_ = d_weights_;
      paired_ = {d_weights_, kQueries, kGradientKeys, kQueries};
    } else {
      weights_ = scratch_.get<T>(kBlock);
      d_scores_ = scratch_.get<T>(kBlock);
      paired_ = scratch_.rows<T>(kGradientKeys, kQueries, kQueries);
    }
    const RowsOf<const T> k = rows_of_head<T>(job.k, batch, kv_head, 0, job.length());
    copy_rows(k, k_);
    copy_rows(rows_of_head<T>(job.v, batch, kv_head, 0, job.length()), v_);
    transpose_rows(k, turned_k_);
    // Sums over all queries, and over all heads of queries that share these keys: in fp32, to be
    // rounded once at the end.
    std::fill_n(dk_, keys_ * size_, 0.0F);
    std::fill_n(dv_, keys_ * size_, 0.0F);
  }

  static Scratch wanted(int64_t keys, int64_t size) {
    Scratch scratch;
    for (int i = 0; i < 2; ++i) scratch.want<T>(keys * size);
    scratch.want<T>(size * (keys + kApart));
    for (int i = 0; i < 2; ++i) scratch.want<float>(keys * size);
    for (int i = 0; i < 4; ++i) scratch.want<T>(kQueries * size);
    scratch.want<float>(kQueries * size);
    for (int i = 0; i < 2; ++i) scratch.want<float>(kQueries);
    for (int i = 0; i < 2; ++i) scratch.want<float>(kBlock);
    if (!kIsWide) {
      for (int i = 0; i < 3; ++i) scratch.want<T>(kBlock);
    }
    return scratch;
  }

  void add(int64_t head) {
    for (int64_t query = 0; query < job_.length(); query += kQueries) add(head, query);
  }

  RowsOf<const float> dk() const { return {dk_, size_, job_.length(), size_}; }
  RowsOf<const float> dv() const { return {dv_, size_, job_.length(), size_}; }

 private:
  static constexpr bool kIsWide = std::is_same_v<T, float>;
  static constexpr int64_t kBlock = kGradientKeys * kQueries;

  void add(int64_t head, int64_t query) {
    const int64_t queries = std::min(kQueries, job_.length() - query);
    const RowsOf<const T> q = rows_of_head<T>(job_.q, batch_, head, query, queries);
    const RowsOf<const T> dy = rows_of_head<T>(job_.dy, batch_, head, query, queries);
    const RowsOf<const T> y = rows_of_head<T>(job_.y, batch_, head, query, queries);
    // Each of q and dy is the second factor of two products, one of which wants it transposed.
    make_factor(q, q_);
    make_factor(dy, dy_);
    make_turned_factor(q, turned_q_);
    make_turned_factor(dy, turned_dy_);
    const int64_t row = (batch_ * job_.q.size(1) + head) * job_.length() + query;
    attention_delta(AttentionDelta<T>{
        dy, y.data, y.stride,
        job_.d_log_sum.defined() ? job_.d_log_sum.const_data_ptr<float>() + row : nullptr, delta_});
    std::copy_n(job_.log_sum.const_data_ptr<float>() + row, queries, log_sum_);
    const int64_t first = first_seen(query, job_.rule.window), last = query + queries;
    for (int64_t key = first; key < last; key += kGradientKeys) {
      const int64_t count = std::min(kGradientKeys, round_up(last - key, kUnit));
      // S^T = K Q^T and dP^T = V dY^T.
      multiply({count, kQueries, size_}, k_.data + key * size_, size_, turned_q_.data, kQueries,
               scores_, kQueries, /*adds=*/false);
      multiply({count, kQueries, size_}, v_.data + key * size_, size_, turned_dy_.data, kQueries,
               d_weights_, kQueries, /*adds=*/false);
      attention_gradient(AttentionGradientBlock<T>{.rule = job_.rule,
                                                   .first_query = query,
                                                   .queries = queries,
                                                   .first_key = key,
                                                   .keys = count,
                                                   .scores = scores_,
                                                   .d_weights = d_weights_,
                                                   .log_sum = log_sum_,
                                                   .delta = delta_,
                                                   .weights = weights_,
                                                   .d_scores = d_scores_,
                                                   .stride = kQueries});
      // dV += P^T dY and dK += dS^T Q.
      multiply({count, size_, kQueries}, weights_, kQueries, dy_.data, size_, dv_ + key * size_,
               size_, /*adds=*/true);
      multiply({count, size_, kQueries}, d_scores_, kQueries, q_.data, size_, dk_ + key * size_,
               size_, /*adds=*/true);
      // dQ^T = K^T dS, a sum over this head's keys. dS is the second factor here: in bf16 by pairs.
      if constexpr (!kIsWide) {
        pair_rows({d_scores_, kQueries, count, kQueries},
                  {paired_.data, kQueries, count, kQueries});
      }
      multiply({size_, kQueries, count}, turned_k_.data + key, turned_k_.stride, paired_.data,
               kQueries, turned_dq_, kQueries, key > first);
    }
    round_transposed({turned_dq_, kQueries, size_, kQueries},
                     rows_to_write<T>(job_.dq, batch_, head, query, queries));
  }

  const Backward& job_;
  int64_t batch_, size_, keys_;
  Scratch scratch_;
  RowsOf<T> k_, v_, turned_k_, q_, dy_, turned_q_, turned_dy_, paired_;
  float *dk_, *dv_, *turned_dq_, *delta_, *log_sum_, *scores_, *d_weights_;
  T *weights_, *d_scores_;
};

template <class T>
void run_forward(const Forward& job) {
  const int64_t heads = job.q.size(0) * job.q.size(1);
  const int64_t blocks = (job.length() + kQueries - 1) / kQueries;
  // Few heads are divided among more threads. A part lays out its own copy of the keys that it
  // sees, hence no more parts than keep the threads busy. A row's result does not depend on them.
  const int64_t parts = std::clamp<int64_t>(2 * at::get_num_threads() / heads, 1, blocks);
  at::parallel_for(0, heads * parts, 1, [&](int64_t begin, int64_t end) {
    const Products products(std::is_same_v<T, uint16_t>);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t head = task / parts, part = task % parts;
      const auto border = [&](int64_t i) {
        return std::min(job.length(), blocks * i / parts * kQueries);
      };
      attend<T>(job, head / job.q.size(1), head % job.q.size(1), border(part), border(part + 1));
    }
  });
}

// Of few heads of keys, a sum for each head of queries, so that more threads can work. This must
// not depend on the number of threads, which would change the order of the sums.
int64_t parts_of_sums(int64_t batch, int64_t heads, int64_t kv_heads) {
  constexpr int64_t kFewTasks = 16;
  return batch * kv_heads < kFewTasks ? heads / kv_heads : 1;
}

template <class T>
void run_backward(const Backward& job, const at::Tensor& dk, const at::Tensor& dv) {
  const int64_t kv_heads = job.k.size(1), tasks = job.q.size(0) * kv_heads;
  // A task owns a head of keys: dk and dv are sums over the queries of all its heads, so that
  // nothing is added by two threads at once.
  const int64_t group = job.q.size(1) / kv_heads;
  const int64_t parts = parts_of_sums(job.q.size(0), job.q.size(1), kv_heads);
  at::Tensor sums;  // [2, parts, batch, kv heads, length, size]
  if (parts > 1) {
    sums = at::empty({2, parts, job.q.size(0), kv_heads, job.length(), job.size()},
                     job.log_sum.options());
  }
  at::parallel_for(0, tasks * parts, 1, [&](int64_t begin, int64_t end) {
    const Products products(std::is_same_v<T, uint16_t>);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i % parts, batch = i / parts / kv_heads, kv_head = i / parts % kv_heads;
      HeadGradients<T> gradients(job, batch, kv_head);
      const int64_t first = kv_head * group + (parts > 1 ? part : 0);
      const int64_t count = parts > 1 ? 1 : group;
      for (int64_t head = first; head < first + count; ++head) gradients.add(head);
      if (parts > 1) {
        const auto sum = [&](int64_t which) {
          return rows_to_write<float>(sums[which][part], batch, kv_head, 0, job.length());
        };
        round_rows(gradients.dk(), sum(0));
        round_rows(gradients.dv(), sum(1));
      } else {
        round_rows(gradients.dk(), rows_to_write<T>(dk, batch, kv_head, 0, job.length()));
        round_rows(gradients.dv(), rows_to_write<T>(dv, batch, kv_head, 0, job.length()));
      }
    }
  });
  // The heads of queries that share a head of keys, added up.
  if (parts > 1) {
    dk.copy_(sums[0].sum(0));
    dv.copy_(sums[1].sum(0));
  }
}

bool has_bf16_blocks() {
  if (!multiplies_bf16()) return false;
  const uint16_t zeros[4] = {};
  float sum[4];
  try {  // a LibTorch, or an ONEDNN_MAX_CPU_ISA, without them says so like this
    const Products products(/*narrow=*/true);
    multiply({2, 2, 2}, zeros, 2, zeros, 2, sum, 2, /*adds=*/false);
  } catch (const c10::Error&) {
    return false;
  }
  return true;
}

}  // namespace

bool attends_in_bf16(int64_t head_size) {
  static const bool found = has_bf16_blocks();
  return found && head_size % 2 == 0;
}

void attend_by_blocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                      const AttentionRule& rule, const at::Tensor& y, const at::Tensor& log_sum) {
  const Forward job{q, k, v, rule, y, log_sum};
  q.scalar_type() == at::kFloat ? run_forward<float>(job) : run_forward<uint16_t>(job);
}

double attention_gradient_scratch(int64_t batch, int64_t heads, int64_t kv_heads, int64_t length,
                                  int64_t size, at::ScalarType dtype) {
  const int64_t parts = parts_of_sums(batch, heads, kv_heads), keys = round_up(length, kUnit);
  const int64_t of_thread = dtype == at::kFloat
                                ? HeadGradients<float>::wanted(keys, size).size()
                                : HeadGradients<uint16_t>::wanted(keys, size).size();
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), batch * kv_heads * parts);
  const int64_t sums = parts > 1 ? 2 * parts * batch * kv_heads * length * size : 0;
  return static_cast<double>(threads * of_thread) + sizeof(float) * static_cast<double>(sums);
}

void attention_gradients_by_blocks(const at::Tensor& dy, const at::Tensor& d_log_sum,
                                   const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const at::Tensor& y, const at::Tensor& log_sum,
                                   const AttentionRule& rule, const at::Tensor& dq,
                                   const at::Tensor& dk, const at::Tensor& dv) {
  const Backward job{dy, d_log_sum, q, k, v, y, log_sum, rule, dq};
  q.scalar_type() == at::kFloat ? run_backward<float>(job, dk, dv)
                                : run_backward<uint16_t>(job, dk, dv);
}

}  // namespace littlebit
