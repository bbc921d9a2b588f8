// Reads sentencepiece_model.proto's wire format: field numbers below are those of that file.
#include "tokenizer/sentencepiece_model.h"

#include <cmath>
#include <cstring>
#include <unordered_set>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit::tokenizer {
namespace {

// One message of the wire format, read field by field.
class Message {
 public:
  Message(std::string_view bytes, const std::string& source) : bytes_(bytes), source_(source) {}

  bool next() {
    if (at_ == bytes_.size()) return false;
    // A field is a key (number and wire type) and its payload: 0 is a number, 1 and 5 are fixed
    // sizes, 2 is bytes with their length in front. Fields that nobody here reads are passed over.
    uint64_t key = varint();
    field_ = key >> 3;
    wire_ = key & 7;
    switch (wire_) {
      case 0:
        number_ = varint();
        break;
      case 1:
        payload_ = take(8);
        break;
      case 2:
        payload_ = take(varint());
        break;
      case 5:
        payload_ = take(4);
        break;
      default:
        fail("unknown wire type " + std::to_string(wire_));
    }
    return true;
  }

  uint64_t field() const { return field_; }
  uint64_t number() const { return expect(0), number_; }
  bool flag() const { return number() != 0; }
  std::string_view text() const { return expect(2), payload_; }
  Message message() const { return Message(text(), source_); }
  float real() const {
    expect(5);
    float value;
    std::memcpy(&value, payload_.data(), sizeof value);
    return value;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(source_ + ": not a SentencePiece model: " + what,
                     "the file may be cut short or be of another kind (tiktoken ranks are not "
                     "supported); download it again");
  }

 private:
  void expect(uint64_t wire) const {
    if (wire_ != wire) fail("field " + std::to_string(field_) + " has an unexpected type");
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("the file ends inside a number");
      auto byte = static_cast<uint8_t>(bytes_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number is too long");
  }
  std::string_view take(uint64_t size) {
    // Subtracted, not added: a damaged length cannot overflow.
    if (size > bytes_.size() - at_) fail("a field is longer than the file");
    std::string_view part = bytes_.substr(at_, size);
    at_ += size;
    return part;
  }

  std::string_view bytes_;
  const std::string& source_;
  size_t at_ = 0;
  uint64_t field_ = 0, wire_ = 0, number_ = 0;
  std::string_view payload_;
};

SentencePieceModel::Piece read_piece(Message message) {
  SentencePieceModel::Piece piece;
  while (message.next()) {
    switch (message.field()) {
      case 1:
        piece.text = message.text();
        break;
      case 2:
        piece.score = message.real();
        break;
      case 3:
        if (message.number() < 1 || message.number() > 6)
          message.fail("piece type " + std::to_string(message.number()) + " is unknown");
        piece.type = static_cast<SentencePieceModel::PieceType>(message.number());
        break;
      default:
        break;
    }
  }
  return piece;
}

void read_trainer(Message message, SentencePieceModel& model) {
  while (message.next()) {
    switch (message.field()) {
      case 3:
        if (message.number() < 1 || message.number() > 4)
          message.fail("model type " + std::to_string(message.number()) + " is unknown");
        model.kind = static_cast<SentencePieceModel::Kind>(message.number());
        break;
      case 24:
        model.treat_whitespace_as_suffix = message.flag();
        break;
      case 35:
        model.byte_fallback = message.flag();
        break;
      default:
        break;
    }
  }
}

void read_normalizer(Message message, SentencePieceModel& model) {
  while (message.next()) {
    switch (message.field()) {
      case 2:
        model.has_character_map = !message.text().empty();
        break;
      case 3:
        model.add_dummy_prefix = message.flag();
        break;
      case 4:
        model.remove_extra_whitespaces = message.flag();
        break;
      case 5:
        model.escape_whitespaces = message.flag();
        break;
      case 6:
        if (!message.text().empty()) message.fail("a normalization rule table is not supported");
        break;
      default:
        break;
    }
  }
}

void check(SentencePieceModel& model, const Message& where) {
  using PieceType = SentencePieceModel::PieceType;
  if (model.pieces.empty()) where.fail("it holds no pieces");
  std::unordered_set<std::string_view> seen, bytes;
  int unknown = 0;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    std::string which = "piece " + std::to_string(id);
    if (piece.text.empty()) where.fail(which + " is empty");
    if (invalid_utf8_at(piece.text) != std::string::npos) where.fail(which + " is not UTF-8");
    if (!std::isfinite(piece.score)) where.fail("the score of " + which + " is not a number");
    if (!seen.insert(piece.text).second) where.fail(which + " occurs twice");
    if (piece.type == PieceType::kUnknown) {
      model.unk_id = static_cast<int32_t>(id);
      ++unknown;
    }
    if (piece.type == PieceType::kByte) bytes.insert(piece.text);
  }
  if (unknown != 1) where.fail("it needs one unknown piece and has " + std::to_string(unknown));
  static const char kHex[] = "0123456789ABCDEF";
  if (bytes.size() != (model.byte_fallback ? 256 : 0))
    where.fail("byte fallback is " + std::string(model.byte_fallback ? "on" : "off") +
               ", but it has " + std::to_string(bytes.size()) + " byte pieces");
  for (int b = 0; model.byte_fallback && b < 256; ++b) {
    std::string text = {'<', '0', 'x', kHex[b >> 4], kHex[b & 15], '>'};
    if (!bytes.count(text)) where.fail("byte piece " + text + " is missing");
  }
}

}  // namespace

const char* name(SentencePieceModel::Kind kind) {
  switch (kind) {
    case SentencePieceModel::Kind::kUnigram:
      return "Unigram";
    case SentencePieceModel::Kind::kBpe:
      return "BPE";
    case SentencePieceModel::Kind::kWord:
      return "word";
    case SentencePieceModel::Kind::kChar:
      return "character";
  }
  return "?";
}

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& source) {
  SentencePieceModel model;
  Message message(bytes, source);
  while (message.next()) {
    switch (message.field()) {
      case 1:
        model.pieces.push_back(read_piece(message.message()));
        break;
      case 2:
        read_trainer(message.message(), model);
        break;
      case 3:
        read_normalizer(message.message(), model);
        break;
      default:
        break;
    }
  }
  check(model, message);
  return model;
}

}  // namespace littlebit::tokenizer
