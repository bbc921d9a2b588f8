// Sections about the compressed model: its bytes by part, its layers by kind.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "html.h"
#include "littlebit/core/strings.h"
#include "sections.h"

namespace littlebit {
namespace {

constexpr const char* kDash = "&ndash;";

// --- bytes ---

struct BytePart {
  const char* label;
  double before = 0, after = 0;
  bool inner = false;  // a part of the part above it
};

double sum(const Json& bytes, std::initializer_list<const char*> keys) {
  double total = 0;
  for (const char* key : keys) {
    const double value = number_of(bytes, key);
    if (value > 0 && value < 1e18) total += value;
  }
  return total;
}

std::vector<BytePart> byte_parts(const Json& before, const Json& after) {
  const auto both = [&](const char* label, std::initializer_list<const char*> keys) {
    return BytePart{label, sum(before, keys), sum(after, keys)};
  };
  std::vector<BytePart> parts = {both("linear layers", {"linears", "signs", "scales"}),
                                 both("signs", {"signs"}),
                                 both("scales", {"scales"}),
                                 both("embeddings", {"embeddings"}),
                                 both("head", {"head"}),
                                 both("norms", {"norms"}),
                                 both("biases", {"biases"}),
                                 both("other", {"other"})};
  parts[1].inner = parts[2].inner = true;
  std::erase_if(parts, [](const BytePart& part) { return part.before + part.after == 0; });
  return parts;
}

// A bar of the parts' sizes; the whole bar stands for `full` bytes.
std::string stack(const std::vector<BytePart>& parts, double BytePart::*size, double full) {
  std::string html = "<div class=\"stack\" style=\"background:var(--grid)\">";
  size_t color = 0;
  for (const BytePart& part : parts) {
    if (part.inner) continue;
    const double percent = std::min(100.0, 100 * part.*size / full);
    if (part.*size > 0) {
      html += "<i style=\"width:" + format_fixed(percent, 3) + "%;background:var(--c" +
              std::to_string(color) + ")\" title=\"" + part.label + ": " + bytes_text(part.*size) +
              "\"></i>";
    }
    ++color;
  }
  return html + "</div>\n";
}

std::string between(const std::string& left, const std::string& right) {
  return "<div class=\"between\"><span>" + left + "</span><span class=\"soft\">" + right +
         "</span></div>";
}

std::string byte_bars(const std::vector<BytePart>& parts, double before, double after) {
  const double full = std::max(before, after);
  std::string html =
      between("Teacher", bytes_text(before)) + stack(parts, &BytePart::before, full) +
      between("Packed student", bytes_text(after)) + stack(parts, &BytePart::after, full);
  if (after < 0.4 * full) {
    html += between("Packed student, enlarged", factor_text(full / after)) +
            stack(parts, &BytePart::after, after);
  }
  return html;
}

// --- layers ---

double mean(const std::vector<double>& values) {
  double total = 0;
  for (const double value : values) total += value;
  return values.empty() ? NAN : total / static_cast<double>(values.size());
}

// "12" or "8 - 16".
std::string range_text(const std::vector<double>& values, std::string (*text)(double)) {
  if (values.empty()) return kDash;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const std::string least = text(*low), most = text(*high);
  return least == most ? least : least + "&thinsp;&ndash;&thinsp;" + most;
}

std::string plain_text(double value) { return std::isfinite(value) ? number_text(value) : kDash; }

std::string shape_text(const ReportLayer& layer) {
  if (!std::isfinite(layer.d_out)) return kDash;
  return count_text(layer.d_out) + " &times; " + count_text(layer.d_in);
}

// A number with a small bar beside it; the bar is full at 1.
std::string metered(double value) {
  if (!std::isfinite(value)) return kDash;
  return number_text(value) + "<span class=\"meter\"><i style=\"width:" +
         format_fixed(100 * std::clamp(value, 0.0, 1.0), 1) + "%\"></i></span>";
}

// Layers of one kind: of one name and one shape.
struct LayerKind {
  const ReportLayer* first = nullptr;
  double count = 0, at_floor = 0, at_cap = 0;
  std::vector<double> rank, paths, bits, error;

  void add(const ReportLayer& layer) {
    const auto take = [](std::vector<double>* values, double value) {
      if (std::isfinite(value)) values->push_back(value);
    };
    if (first == nullptr) first = &layer;
    ++count;
    at_floor += layer.at_floor;
    at_cap += layer.at_cap;
    take(&rank, layer.rank);
    take(&paths, layer.paths);
    take(&bits, layer.bits);
    take(&error, layer.relative_error);
  }
};

std::vector<LayerKind> kinds_of(const std::vector<ReportLayer>& layers) {
  std::vector<LayerKind> kinds;
  std::map<std::string, size_t> place;
  for (const ReportLayer& layer : layers) {
    const auto [found, is_new] =
        place.try_emplace(layer.kind + " " + shape_text(layer), kinds.size());
    if (is_new) kinds.emplace_back();
    kinds[found->second].add(layer);
  }
  return kinds;
}

std::string bound_words(double at_floor, double at_cap, double count) {
  std::vector<std::string> words;
  const auto add = [&](double number, const char* what) {
    if (number > 0) words.push_back((number < count ? count_text(number) + " " : "") + what);
  };
  add(at_floor, "at quant.min_rank");
  add(at_cap, "at full rank");
  return words.empty() ? "" : "<span class=\"soft\">" + join(words, ", ") + "</span>";
}

std::string kind_table(const std::vector<ReportLayer>& layers) {
  HtmlTable table({{"kind"},
                   {"rank", true},
                   {"bits / weight", true},
                   {"relative error", true},
                   {"layers", true},
                   {"shape", true},
                   {"paths", true},
                   {""}});
  const std::vector<LayerKind> kinds = kinds_of(layers);
  if (kinds.size() > 200) return "";  // no model of ours: only the full table helps
  for (const LayerKind& kind : kinds) {
    table.add({escaped(kind.first->kind, 100), range_text(kind.rank, count_text),
               range_text(kind.bits, number_text), metered(mean(kind.error)),
               count_text(kind.count), shape_text(*kind.first), range_text(kind.paths, count_text),
               bound_words(kind.at_floor, kind.at_cap, kind.count)});
  }
  double weights = 0, bits = 0;
  std::vector<double> errors;
  for (const LayerKind& kind : kinds) {
    errors.insert(errors.end(), kind.error.begin(), kind.error.end());
  }
  for (const ReportLayer& layer : layers) {
    const double size = layer.d_out * layer.d_in;
    if (!std::isfinite(size * layer.bits)) continue;
    weights += size;
    bits += size * layer.bits;
  }
  table.add({"all", "", plain_text(bits / weights), metered(mean(errors)),
             count_text(static_cast<double>(layers.size())),
             weights > 0 ? count_text(weights) + " weights" : kDash, "", ""},
            "total");
  return table.html() +
         "<p class=\"soft small\">Relative error of the initial factors: the mean over layers of "
         "|W&#8239;&minus;&#8239;W&#8242;| / |W|, before training.</p>\n";
}

std::string layer_table(const std::vector<ReportLayer>& layers) {
  HtmlTable table({{"layer"},
                   {"rank", true},
                   {"bits / weight", true},
                   {"relative error", true},
                   {"shape", true},
                   {"paths", true},
                   {"seconds", true},
                   {""}});
  for (const ReportLayer& layer : layers) {
    table.add({"<code>" + escaped(layer.name, 300) + "</code>", plain_text(layer.rank),
               plain_text(layer.bits), metered(layer.relative_error), shape_text(layer),
               plain_text(layer.paths), plain_text(layer.seconds),
               bound_words(layer.at_floor, layer.at_cap, 1)});
  }
  return table.html();
}

// The number in "model.layers.12.mlp.up_proj"; -1 where there is none.
int block_of(const std::string& name) {
  for (const std::string& part : split(name, '.')) {
    const bool digits =
        !part.empty() && part.size() < 5 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (digits) return std::stoi(part);
  }
  return -1;
}

// Relative error by kind (rows) and block (columns), as shades between the lowest and the highest.
std::string error_map(const std::vector<ReportLayer>& layers) {
  std::vector<std::string> kinds;
  int blocks = 0;
  double low = INFINITY, high = -INFINITY;
  for (const ReportLayer& layer : layers) {
    const int block = block_of(layer.name);
    if (block < 0 || !(std::abs(layer.relative_error) < 1e6)) continue;
    blocks = std::max(blocks, block + 1);
    low = std::min(low, layer.relative_error);
    high = std::max(high, layer.relative_error);
    if (std::find(kinds.begin(), kinds.end(), layer.kind) == kinds.end())
      kinds.push_back(layer.kind);
    if (kinds.size() > 20) return "";
  }
  if (blocks < 2 || blocks > 400 || !(high > low)) return "";
  std::string rows;
  for (const std::string& kind : kinds) {
    std::string cells;
    for (const ReportLayer& layer : layers) {
      const int block = block_of(layer.name);
      if (layer.kind != kind || block < 0 || !(std::abs(layer.relative_error) < 1e6)) continue;
      const double shade = 0.06 + 0.94 * (layer.relative_error - low) / (high - low);
      cells += "<rect x=\"" + std::to_string(block) + "\" width=\"0.94\" height=\"1\" opacity=\"" +
               format_fixed(shade, 2) + "\"><title>" + escaped(layer.name, 300) + ": " +
               number_text(layer.relative_error) + "</title></rect>";
    }
    rows += "<span class=\"small\">" + escaped(kind, 100) + "</span><svg viewBox=\"0 0 " +
            std::to_string(blocks) +
            " 1\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"relative error of " +
            escaped(kind, 100) + " by block\" fill=\"var(--c1)\">" + cells + "</svg>\n";
  }
  return "<div class=\"card pad\"><div class=\"between\"><h3>Relative error by block</h3>"
         "<span class=\"soft\">" +
         number_text(low) + "<span class=\"ramp\"></span>" + number_text(high) +
         "</span></div><div class=\"heat\" style=\"margin-top:10px\">" + rows +
         "<span></span><span class=\"ends soft small\"><span>block 0</span><span>" +
         std::to_string(blocks - 1) + "</span></span></div></div>\n";
}

// What embedding and head lost where they are in groups of small whole numbers.
std::string grouped_notes(const Json& bytes) {
  std::string notes;
  for (const char* part : {"embeddings", "head"}) {
    const Json& matrix = member_of(member_of(bytes, "grouped"), part);
    const double bits = number_of(matrix, "bits");
    if (!std::isfinite(bits)) continue;
    notes += "<p class=\"soft\">" + std::string(part) + ": " + number_text(bits) +
             "-bit numbers in groups of " + number_text(number_of(matrix, "group_size")) + ", " +
             number_text(number_of(matrix, "stored_bits")) +
             " bits each with their scales; relative error " +
             number_text(number_of(matrix, "relative_error")) + "</p>\n";
  }
  return notes;
}

}  // namespace

std::string bytes_section(const ReportData& data) {
  const Json& bytes = member_of(member_of(data.run, "summary"), "bytes");
  const std::vector<BytePart> parts =
      byte_parts(member_of(bytes, "teacher"), member_of(bytes, "packed"));
  double before = 0, after = 0;
  for (const BytePart& part : parts) {
    if (!part.inner) before += part.before, after += part.after;
  }
  if (before <= 0 || after <= 0) return "";
  HtmlTable table(
      {{"part"}, {"teacher", true}, {"packed", true}, {"ratio", true}, {"share", true}});
  size_t color = 0;
  const auto size = [](double value) { return value > 0 ? bytes_text(value) : kDash; };
  for (const BytePart& part : parts) {
    const std::string key = part.inner ? ""
                                       : "<span class=\"key block\" style=\"color:var(--c" +
                                             std::to_string(color++) + ")\"></span>";
    table.add({key + part.label, size(part.before), size(part.after),
               factor_text(part.before / part.after), percent_text(part.after / after)},
              part.inner ? "part" : "");
  }
  table.add({"total", bytes_text(before), bytes_text(after), factor_text(before / after),
             percent_text(1)},
            "total");
  return section("Bytes", "<div class=\"card pad\">" + byte_bars(parts, before, after) +
                              "</div>\n" + "<div class=\"card pad\">" + table.html() +
                              grouped_notes(bytes) + "</div>\n");
}

std::string layer_section(const ReportData& data) {
  if (data.layers.empty()) return "";
  return section(
      "Linear layers",
      error_map(data.layers) + "<div class=\"card pad\">" + kind_table(data.layers) +
          details("All " + count_text(static_cast<double>(data.layers.size())) + " layers",
                  layer_table(data.layers)) +
          "</div>\n");
}

}  // namespace littlebit
