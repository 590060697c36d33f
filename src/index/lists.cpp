#include "index/lists.h"

#include <cmath>

#include "base/hash.h"
#include "base/knobs.h"
#include "base/math.h"

namespace gyr::index {
namespace {

constexpr uint64_t kFirstTraining = 1024;
constexpr uint64_t kOutgrown = 4;  // times as many vectors
constexpr uint64_t kSamplesPerList = 32;
constexpr float kDeviations = 4;      // what a list may hold above its centre's score, in its spread
constexpr uint64_t kSweep = 1 << 22;  // floats looked at at a time
constexpr size_t kRowsAtOnce = 256;
constexpr uint32_t kRankedAtFirst = 4;  // under a filter: times as many lists as without one
// A stretched vector at the 99th percentile of lengths is so many times longer than one at the median.
constexpr float kTop = 16, kMostPower = 4, kLongest = 1024;
constexpr uint64_t kGroupFloats = 1 << 20, kGroup = 4096;  // of vectors put into lists at a time, at most

// A quarter of slack when it has to grow.
uint64_t roomy(uint64_t had, uint64_t wanted) {
  return wanted > had && had > 0 ? std::max(wanted, had + had / 4) : wanted;
}

}  // namespace

// `codes` is empty or ends with a block that may be read.
void Lists::List::reserve(uint64_t n, uint32_t stride) {
  codes.reserve(n * stride + kernels::kCodeBlock);
  scale.reserve(n);
  bias.reserve(n);
  slots.reserve(n);
}

Lists::State::State(std::pmr::memory_resource* m, const Store& store)
    : origin(store.dim, 0, Aligned<float>(m)),
      keys(m, store.dim, store.ops),
      centres(Aligned<float>(m)),
      spread(Aligned<float>(m)),
      order(m, store.dim, store.ops, true),
      all(Aligned<uint32_t>(m)),
      list_of(Aligned<uint32_t>(m)) {}

// Before there is anything to learn from: one list around the origin.
Lists::Lists(std::pmr::memory_resource* memory, const Store& store, uint32_t wanted, uint64_t seed)
    : memory_(memory),
      store_(store),
      wanted_(wanted),
      stride_(uint32_t(align_up(store.dim, 16))),
      seed_(seed),
      trained_on_(Aligned<uint64_t>(memory)),
      keys_(Aligned<float>(memory)),
      kept_(store.dim, 0, Aligned<float>(memory)),
      group_(Aligned<uint32_t>(memory)),
      codes_(Aligned<int8_t>(memory)),
      notes_(Aligned<Note>(memory)) {
  now_ = std::make_unique<State>(memory_, store_);
  take_origin(now_.get());
}

void Lists::take_origin(State* s) const {
  const Array<float> zero(store_.dim, 0, Aligned<float>(memory_));
  const uint32_t starts[] = {0, 1};
  s->keys.set(zero, starts);
  s->centres.assign(store_.stride, 0);
  s->spread.assign(1, 0);
  open_lists(s);
  finish_centres(s);
}

uint32_t Lists::wanted_lists(uint32_t wanted, uint64_t count) {
  if (wanted) return uint32_t(std::min<uint64_t>(wanted, count));
  return uint32_t(std::clamp<double>(4 * std::sqrt(double(count)), 1, kMost));
}

uint32_t Lists::probes(uint64_t effort) const {
  return uint32_t(std::clamp<uint64_t>(effort / 2, 1, now_->lists.size()));
}

// The n lists that promise most, best first; empty ones do not.
void Lists::rank(const float* query, bool l2, uint32_t n, Probe* p) const {
  const State& s = *now_;
  const uint32_t n_lists = size();
  const float length = l2 ? 0 : kDeviations * std::sqrt(store_.ops->dot(query, query, store_.dim));
  p->scores.resize(std::max<size_t>(n_lists, kRowsAtOnce));
  p->dots.resize(p->scores.size());
  s.order.score(p->query, l2, s.all.data(), n_lists, p->dots.data(), p->scores.data());
  p->best.reset(n);
  for (uint32_t i = 0; i < n_lists; i++)
    if (!s.lists[i].slots.empty()) p->best.offer(p->scores[i] + length * s.spread[i], i);
  uint32_t found = 0;
  p->lists.resize(n);
  p->best.finish(p->lists.data(), p->scores.data(), &found);
  p->at.resize(found);
  for (uint32_t i = 0; i < found; i++) p->at[i] = uint32_t(p->lists[i]);
}

void Lists::search(const float* query, uint64_t effort, const Allowed& allowed, bool all, uint64_t wanted, TopK* found,
                   Probe* p) const {
  const State& s = *now_;
  const bool l2 = store_.l2();
  const uint32_t least = probes(effort);
  p->query.reserve(store_.dim);
  s.order.prepare(query, &p->query);
  uint32_t ranked = all ? least : std::min(kRankedAtFirst * least, size());
  rank(query, l2, ranked, p);
  p->scored = size();
  const auto centres_at = l2 ? store_.ops->l2_rows_at : store_.ops->dot_rows_at;
  const float gain = p->query.note.scale * (l2 ? 2 : 1);
  float from[kRowsAtOnce];  // the scores of the centres of lists [begin, end)
  size_t begin = 0, end = 0;
  uint64_t met = 0;  // that may be returned
  double read = 0;   // lists, each by the share of it that may
  for (size_t i = 0; read < least || met < wanted; i++) {
    if (i == p->at.size()) {
      if (ranked == size()) return;
      rank(query, l2, ranked = size(), p);
      if (i == p->at.size()) return;
    }
    if (i == end) {
      begin = i;
      end = std::min(i + kRowsAtOnce, p->at.size());
      centres_at(query, s.centres.data(), p->at.data() + begin, end - begin, store_.dim, store_.stride, from);
    }
    const List& list = s.lists[p->at[i]];
    const uint64_t more = read_list(list, from[i - begin], gain, all ? nullptr : &allowed, found, p);
    met += more;
    read += double(more) / double(list.slots.size());
  }
}

// Says how many of the list may be returned.
uint64_t Lists::read_list(const List& list, float from, float gain, const Allowed* allowed, TopK* found,
                          Probe* p) const {
  float scores[kRowsAtOnce];
  bool may[kRowsAtOnce];
  uint64_t met = 0;
  for (size_t first = 0; first < list.slots.size(); first += kRowsAtOnce) {
    const size_t rows = std::min(kRowsAtOnce, list.slots.size() - first);
    const uint32_t* slots = list.slots.data() + first;
    size_t many = rows;
    if (allowed) {
      many = 0;
      for (size_t r = 0; r < rows; r++) many += may[r] = (*allowed)(slots[r]);
      if (many == 0) continue;
    }
    met += many;
    p->scored += rows;
    store_.ops->dot_codes(p->query.values.data(), list.codes.data() + first * stride_, rows, store_.dim, stride_,
                          p->dots.data());
    const float *scale = list.scale.data() + first, *bias = list.bias.data() + first;
    for (size_t r = 0; r < rows; r++) scores[r] = from + (float(p->dots[r]) * (gain * scale[r]) + bias[r]);
    for (size_t r = 0; r < rows; r++)
      if (scores[r] >= found->bar() && (!allowed || may[r])) found->offer(scores[r], slots[r]);
  }
  return met;
}

void Lists::key_of(const State& s, const float* row, float* key) const {
  for (uint32_t d = 0; d < store_.dim; d++) key[d] = row[d] - s.origin[d];
  if (store_.metric != GYR_METRIC_IP) return;
  const float length = std::sqrt(store_.ops->dot(key, key, store_.dim)) / s.stretch.unit;
  const float by = std::pow(std::min(length, s.stretch.most), s.stretch.power) / s.stretch.unit *
                   (length > s.stretch.most ? s.stretch.most / length : 1);
  for (uint32_t d = 0; d < store_.dim; d++) key[d] *= by;
}

// The code of a row as a member of a list. With the middle m of all centres, q' = q - m, the list's centre c and
// x' = x - c: q x = q c + q' x' + m x', and -|q - x|^2 = -|q - c|^2 + 2 q' x' - (2 (c - m) x' + |x'|^2).
Lists::Note Lists::encode(const State& s, uint32_t list, const float* row, float* residual, int8_t* code) const {
  const uint32_t dim = store_.dim;
  const float *centre = s.centres.data() + uint64_t(list) * store_.stride, *middle = s.order.centre().data();
  float largest = 0;
  for (uint32_t d = 0; d < dim; d++) {
    residual[d] = row[d] - centre[d];
    largest = std::max(largest, std::abs(residual[d]));
  }
  Note note{largest / 127, store_.ops->dot(middle, residual, dim)};
  if (!(note.scale > 1e-36f)) note.scale = 0;
  if (store_.metric == GYR_METRIC_L2)
    note.bias = 2 * note.bias - 2 * store_.ops->dot(centre, residual, dim) - store_.ops->dot(residual, residual, dim);
  store_.ops->encode_codes(residual, dim, note.scale > 0 ? 1 / note.scale : 0, code);
  return note;
}

void Lists::compute(Runtime* runtime, const float* rows, uint32_t n) {
  const State& s = *now_;
  keys_.resize(uint64_t(n) * store_.dim);
  group_.resize(n);
  codes_.resize(uint64_t(n) * stride_);
  notes_.resize(n);
  auto each = [&](auto&& body) {
    runtime->parallel_for(div_up(n, 256u), [&](uint64_t chunk) {
      for (uint64_t i = chunk * 256; i < std::min<uint64_t>(n, (chunk + 1) * 256); i++)
        body(i, rows + i * store_.stride, keys_.data() + i * store_.dim);
    });
  };
  each([&](uint64_t, const float* row, float* key) { key_of(s, row, key); });
  s.keys.nearest(runtime, {keys_.data(), n}, group_.data());
  each([&](uint64_t i, const float* row, float* key) {  // the key's place is free to hold the residual
    notes_[i] = encode(s, group_[i], row, key, codes_.data() + i * stride_);
  });
}

uint64_t Lists::group_limit(uint32_t dim) { return std::clamp<uint64_t>(kGroupFloats / dim, 256, kGroup); }

void Lists::reserve(uint64_t slots) {
  now_->list_of.reserve(slots);
  if (now_->trained == 0) now_->lists[0].reserve(slots, stride_);
}

void Lists::prepare(uint64_t slots) {
  if (now_->list_of.size() < slots) now_->list_of.resize(slots, kNone);
  Array<uint32_t> more(now_->lists.size(), 0, Aligned<uint32_t>(memory_));
  for (uint32_t list : group_) more[list]++;
  for (size_t i = 0; i < more.size(); i++)
    if (more[i]) {
      List& list = now_->lists[i];
      list.reserve(roomy(list.slots.capacity(), list.slots.size() + more[i]), stride_);
    }
}

void Lists::add(uint32_t member, uint32_t slot) {
  State& s = *now_;
  remove(slot);
  if (store_.stored != GYR_STORED_FP32)  // what is kept is not what was given
    notes_[member] = encode(s, group_[member], store_.read(slot, kept_.data()),
                            keys_.data() + uint64_t(member) * store_.dim, codes_.data() + uint64_t(member) * stride_);
  List& list = s.lists[group_[member]];
  const size_t at = list.slots.size();
  list.codes.resize((at + 1) * stride_ + kernels::kCodeBlock);
  std::copy_n(codes_.data() + uint64_t(member) * stride_, stride_, list.codes.data() + at * stride_);
  list.scale.push_back(notes_[member].scale);
  list.bias.push_back(notes_[member].bias);
  list.slots.push_back(slot);
  s.list_of[slot] = group_[member];
  s.since++;
}

void Lists::remove(uint32_t slot) {
  State& s = *now_;
  if (s.list_of[slot] == kNone) return;
  List& list = s.lists[s.list_of[slot]];
  s.list_of[slot] = kNone;
  const size_t last = list.slots.size() - 1;
  const size_t at = size_t(std::find(list.slots.begin(), list.slots.end(), slot) - list.slots.begin());
  std::copy_n(list.codes.data() + last * stride_, stride_, list.codes.data() + at * stride_);
  list.scale[at] = list.scale[last];
  list.bias[at] = list.bias[last];
  list.slots[at] = list.slots[last];
  list.codes.resize(last * stride_ + kernels::kCodeBlock);
  list.scale.pop_back();
  list.bias.pop_back();
  list.slots.pop_back();
}

bool Lists::outgrown(bool finished) const {
  const uint64_t count = store_.count(), trained = now_->trained;
  if (count < knobs::capacity(kFirstTraining, 16)) return false;
  const uint64_t grown = count - std::min(count, trained), replaced = now_->since - std::min(now_->since, grown);
  if (count >= kOutgrown * trained || kOutgrown * replaced >= count || count * kOutgrown * 2 < trained) return true;
  return finished && count > trained + trained / 2;
}

// Median, and the lengths' quantiles, of a sample.
void Lists::learn_stretch(Points sample, State* s) const {
  Array<float> values(sample.n, 0, Aligned<float>(memory_));
  auto quantile = [&](double q) {
    const auto at = values.begin() + ptrdiff_t(q * double(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return *at;
  };
  const uint32_t dim = store_.dim;
  if (store_.l2())
    for (uint32_t d = 0; d < dim; d++) {
      for (size_t i = 0; i < sample.n; i++) values[i] = sample.at[i * dim + d];
      s->origin[d] = quantile(0.5);
    }
  if (store_.metric != GYR_METRIC_IP) return;
  for (size_t i = 0; i < sample.n; i++)
    values[i] = std::sqrt(store_.ops->dot(sample.at + i * dim, sample.at + i * dim, dim));
  const float longest = quantile(0.9999), high = quantile(0.99);
  s->stretch.unit = std::max({quantile(0.5), high / 1000, 1e-15f});
  const float ratio = high / s->stretch.unit;
  s->stretch.power = ratio > 1 ? std::clamp(std::log(kTop) / std::log(ratio) - 1, 0.0f, kMostPower) : 0;
  s->stretch.most = std::clamp(longest / s->stretch.unit, 1.0f, std::pow(kLongest, 1 / (1 + s->stretch.power)));
}

// The lists of rows by slot.
void Lists::place(Runtime* runtime, const State& s, std::span<const uint32_t> slots, uint32_t* out) const {
  const uint64_t at_once = std::max<uint64_t>(kSweep / store_.dim, 1024);
  Array<float> keys(std::min<uint64_t>(at_once, slots.size()) * store_.dim, 0, Aligned<float>(memory_));
  for (uint64_t first = 0; first < slots.size(); first += at_once) {
    const uint64_t n = std::min<uint64_t>(at_once, slots.size() - first);
    runtime->parallel_for(div_up(n, 1024), [&](uint64_t chunk) {
      Array<float> row(store_.dim, 0, Aligned<float>(memory_));
      for (uint64_t i = chunk * 1024; i < std::min(n, (chunk + 1) * 1024); i++)
        key_of(s, store_.read(slots[first + i], row.data()), keys.data() + i * store_.dim);
    });
    s.keys.nearest(runtime, {keys.data(), n}, out + first);
  }
}

Status Lists::train(Runtime* runtime, gyr_task* task) {
  auto s = std::make_unique<State>(memory_, store_);
  trained_on_ = store_.alive_now();
  uint64_t n_live = 0;
  for (uint64_t word : trained_on_) n_live += uint64_t(std::popcount(word));
  Array<uint32_t> live(Aligned<uint32_t>{memory_});
  live.reserve(n_live);
  each_bit(trained_on_, [&](uint32_t slot) { live.push_back(slot); });
  s->list_of.reserve(store_.ids.capacity());
  s->list_of.resize(store_.slots(), kNone);
  if (n_live < knobs::capacity(kFirstTraining, 16)) {  // by compaction
    take_origin(s.get());
    for (uint32_t slot : live) s->list_of[slot] = 0;
    hand_out(s.get());
    fill(runtime, s.get());
    next_ = std::move(s);
    return {};
  }
  const uint32_t wanted = wanted_lists(wanted_, live.size());
  {
    const uint64_t n = std::min<uint64_t>(live.size(), wanted * kSamplesPerList), dim = store_.dim;
    Array<float> sample(n * dim, 0, Aligned<float>(memory_)), row(dim, 0, Aligned<float>(memory_));
    for (size_t i = 0; i < n; i++)
      std::copy_n(store_.read(live[i * live.size() / n], row.data()), dim, sample.data() + i * dim);
    learn_stretch({sample.data(), n}, s.get());
    for (size_t i = 0; i < n; i++) key_of(*s, sample.data() + i * dim, sample.data() + i * dim);
    GYR_TRY(s->keys.train(runtime, {sample.data(), n}, wanted, seed_, task));
  }
  Array<uint32_t> found(live.size(), 0, Aligned<uint32_t>(memory_));
  place(runtime, *s, live, found.data());
  GYR_TRY(check(task));
  for (size_t i = 0; i < live.size(); i++) s->list_of[live[i]] = found[i];
  describe(runtime, s.get());
  fill(runtime, s.get());
  s->trained = n_live;
  next_ = std::move(s);
  return {};
}

void Lists::use() {
  now_.swap(next_);
  store_.each_gone(trained_on_, [&](uint32_t slot) { remove(slot); });
}

void Lists::clean_up() {
  next_.reset();
  Array<uint64_t>(trained_on_.get_allocator()).swap(trained_on_);
}

// Writes each list's slots down, as list_of has them.
void Lists::hand_out(State* s) const {
  Array<uint32_t> sizes(s->lists.size(), 0, Aligned<uint32_t>(memory_));
  for (uint32_t list : s->list_of)
    if (list != kNone) sizes[list]++;
  for (size_t i = 0; i < sizes.size(); i++) s->lists[i].slots.reserve(sizes[i]);
  for (uint32_t slot = 0; slot < s->list_of.size(); slot++)
    if (s->list_of[slot] != kNone) s->lists[s->list_of[slot]].slots.push_back(slot);
}

// Centres and spread of the vectors that list_of gives each list. Lists without any keep their key, scaled back.
void Lists::describe(Runtime* runtime, State* s) const {
  const uint32_t n_lists = s->keys.size(), dim = store_.dim;
  s->centres.assign(uint64_t(n_lists) * store_.stride, 0);
  s->spread.assign(n_lists, 0);
  open_lists(s);
  hand_out(s);
  runtime->parallel_for(n_lists, [&](uint64_t i) {
    const auto& slots = s->lists[i].slots;
    if (slots.empty()) return;
    float* centre = s->centres.data() + i * store_.stride;
    Array<double> sum(dim, 0, Aligned<double>(memory_));
    Array<float> scratch(dim, 0, Aligned<float>(memory_));
    for (uint32_t slot : slots) {
      const float* row = store_.read(slot, scratch.data());
      for (uint32_t d = 0; d < dim; d++) sum[d] += row[d];
    }
    for (uint32_t d = 0; d < dim; d++) centre[d] = float(sum[d] / double(slots.size()));
    double apart = 0;
    for (uint32_t slot : slots) apart += store_.ops->l2_squared(centre, store_.read(slot, scratch.data()), dim);
    s->spread[i] = float(std::sqrt(apart / double(slots.size()) / dim));
  });
  const float* centres = s->centres.data();
  s->order.learn([&](uint64_t i, float*) { return centres + i * store_.stride; }, n_lists);
  finish_centres(s);
}

// What ranks the centres.
void Lists::finish_centres(State* s) const {
  const uint32_t n = s->keys.size();
  s->all.resize(n);
  for (uint32_t i = 0; i < n; i++) s->all[i] = i;
  s->order.resize(n);
  for (uint32_t i = 0; i < n; i++) s->order.write(i, s->centres.data() + uint64_t(i) * store_.stride);
}

void Lists::open_lists(State* s) const {
  s->lists.reserve(s->keys.size());
  while (s->lists.size() < s->keys.size()) s->lists.emplace_back(memory_);
}

// Codes of what lists hold by slot.
void Lists::fill(Runtime* runtime, State* s) const {
  runtime->parallel_for(s->lists.size(), [&](uint64_t i) {
    List& list = s->lists[i];
    const size_t n = list.slots.size();
    if (n == 0) return;
    list.reserve(n, stride_);
    list.codes.resize(n * stride_ + kernels::kCodeBlock);
    list.scale.resize(n);
    list.bias.resize(n);
    Array<float> residual(store_.dim, 0, Aligned<float>(memory_)), row(store_.dim, 0, Aligned<float>(memory_));
    for (size_t at = 0; at < n; at++) {
      const Note note = encode(*s, uint32_t(i), store_.read(list.slots[at], row.data()), residual.data(),
                               list.codes.data() + at * stride_);
      list.scale[at] = note.scale;
      list.bias[at] = note.bias;
    }
  });
}

uint64_t Lists::bytes_of_codes() const {
  uint64_t all = 0;
  for (const List& list : now_->lists)
    all += list.codes.capacity() + (list.scale.capacity() + list.bias.capacity() + list.slots.capacity()) * 4;
  return all;
}

uint64_t Lists::bytes() const {
  const State& s = *now_;
  return s.keys.bytes() + s.order.bytes() + s.list_of.capacity() * 4 + s.lists.capacity() * sizeof(List) +
         (s.origin.capacity() + s.centres.capacity() + s.spread.capacity() + s.all.capacity()) * 4;
}

Lists::Memory Lists::memory_of(uint64_t slots, uint32_t dim, uint32_t wanted, uint32_t threads) {
  const bool trained = slots >= knobs::capacity(kFirstTraining, 16);
  const uint64_t lists = trained ? wanted_lists(wanted, slots) : 1, stride = align_up(dim, 16);
  const uint64_t codes = slots * (stride + 12) + lists * kernels::kCodeBlock, list_of = slots * 4;
  const uint64_t centres = Centres::bytes_of(uint32_t(lists), dim) + Codes::bytes_of(lists, dim) +
                           lists * (stride * 4 + 8 + sizeof(List)) + uint64_t(dim) * 4;
  const uint64_t grouped = std::min(slots, group_limit(dim));
  const uint64_t group = grouped * (dim * 4 + stride + 12) + Centres::nearest_memory(grouped, dim, threads);
  if (!trained) return {codes, list_of + centres, 0, group};
  const uint64_t sample = std::min(slots, lists * kSamplesPerList);
  const uint64_t learning = sample * (dim * 4 + 4) + Centres::training_memory(sample, uint32_t(lists), dim, threads);
  const uint64_t placing = slots * 4 + std::min(slots, std::max<uint64_t>(kSweep / dim, 1024)) * dim * 4;
  return {codes, list_of + centres, slots * 4 + codes + list_of + std::max(learning, placing), group};
}

void Lists::save(ByteWriter* out) const {
  const State& s = *now_;
  out->put(s.stretch.unit);
  out->put(s.stretch.most);
  out->put(s.stretch.power);
  out->put(uint32_t(0));
  out->put(s.trained);
  out->put(s.since);
  out->put_array(s.origin.data(), s.origin.size());
  out->put_array(s.keys.values().data(), s.keys.values().size());
  out->put_array(s.keys.starts().data(), s.keys.starts().size());
  out->put_array(s.order.centre().data(), store_.dim);
  out->put_array(s.centres.data(), s.centres.size());
  out->put_array(s.spread.data(), s.spread.size());
  out->put_array(s.list_of.data(), std::min<size_t>(s.list_of.size(), store_.slots()));
  out->put(wanted_);
}

Status Lists::check_state(const State& s, const char* name) const {
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  auto bounded = [](std::span<const float> v, double most) {
    double squared = 0;
    for (float x : v) squared += double(x) * x;
    return squared <= most;
  };
  const uint32_t n = s.keys.size(), dim = store_.dim;
  const Stretch& t = s.stretch;
  if (!(t.unit >= 1e-15f && t.unit <= 1e18f && t.most >= 1 && t.most <= kLongest && t.power >= 0 &&
        t.power <= kMostPower))
    return corrupt("the lengths' stretch is out of range");
  for (uint32_t i = 0; i < n; i++) {
    if (!bounded(s.keys.values().subspan(uint64_t(i) * dim, dim), 4 * kMaxSquaredNorm) ||
        !bounded({s.centres.data() + uint64_t(i) * store_.stride, store_.stride}, kMaxSquaredNorm * 1.01))
      return corrupt("a list's centre is not finite or too long");
    for (uint32_t d = dim; d < store_.stride; d++)
      if (s.centres[uint64_t(i) * store_.stride + d] != 0) return corrupt("a list's centre is longer than a vector");
    if (!(s.spread[i] >= 0 && s.spread[i] <= 2e18f)) return corrupt("a list's spread is out of range");
  }
  if (!bounded(s.origin, kMaxSquaredNorm) || !bounded(s.order.centre(), kMaxSquaredNorm))
    return corrupt("the middle is not finite or too long");
  for (uint32_t slot = 0; slot < store_.slots(); slot++)
    if ((s.list_of[slot] < n) != store_.is_alive(slot) || (s.list_of[slot] >= n && s.list_of[slot] != kNone))
      return corrupt("a vector is in no list, or a dead slot in one");
  return {};
}

Status Lists::read(ByteReader* in, Runtime* runtime, const char* name) {
  auto corrupt = [&](const char* what) { return fail(GYR_E_CORRUPT, "index", "%s: %s", name, what); };
  auto s = std::make_unique<State>(memory_, store_);
  uint32_t reserved = 0;
  GYR_TRY(in->get(&s->stretch.unit));
  GYR_TRY(in->get(&s->stretch.most));
  GYR_TRY(in->get(&s->stretch.power));
  GYR_TRY(in->get(&reserved));
  GYR_TRY(in->get(&s->trained));
  GYR_TRY(in->get(&s->since));
  std::span<const float> origin, keys, middle, centres, spread;
  std::span<const uint32_t> starts, list_of;
  GYR_TRY(in->get_array(&origin));
  GYR_TRY(in->get_array(&keys));
  GYR_TRY(in->get_array(&starts));
  GYR_TRY(in->get_array(&middle));
  GYR_TRY(in->get_array(&centres));
  GYR_TRY(in->get_array(&spread));
  GYR_TRY(in->get_array(&list_of));
  GYR_TRY(in->get(&wanted_));
  const uint64_t n = spread.size(), dim = store_.dim;
  if (reserved != 0 || wanted_ > kMost || s->trained > kMaxSlots || s->since > uint64_t(1) << 62)
    return corrupt("a number is out of range");
  if (n < 1 || n > 2 * kMost || origin.size() != dim || middle.size() != dim || keys.size() != n * dim ||
      centres.size() != n * store_.stride || list_of.size() != store_.slots())
    return corrupt("the lists' arrays do not fit together");
  if (starts.size() < 2 || starts.size() > n + 1 || starts.front() != 0 || starts.back() != n)
    return corrupt("the groups of lists do not cover them");
  for (size_t g = 1; g < starts.size(); g++)
    if (starts[g] <= starts[g - 1]) return corrupt("a group of lists is empty");
  s->origin.assign(origin.begin(), origin.end());
  s->centres.assign(centres.begin(), centres.end());
  s->spread.assign(spread.begin(), spread.end());
  s->list_of.assign(list_of.begin(), list_of.end());
  s->keys.set(keys, starts);
  s->order.set(middle, {}, UINT64_MAX);
  GYR_TRY(check_state(*s, name));
  open_lists(s.get());
  finish_centres(s.get());
  hand_out(s.get());
  fill(runtime, s.get());
  now_ = std::move(s);
  return {};
}

}  // namespace gyr::index
