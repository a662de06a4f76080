#include "tools/candor-train/invent.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace candor::train {

namespace {

/// What syllables of a script are made of. Parts are divided by spaces; "_" is none.
struct sounds {
  std::vector<std::string_view> open, middle, close;
};

std::vector<std::string_view> parts(std::string_view list) {
  std::vector<std::string_view> made;
  while (!list.empty()) {
    auto part = list.substr(0, list.find(' '));
    list.remove_prefix(std::min(list.size(), part.size() + 1));
    made.push_back(part == "_" ? std::string_view{} : part);
  }
  return made;
}

const sounds& sounds_of(std::string_view lang) {
  static const sounds latin{
      parts("b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr qu r s sc sh sk sl "
            "sm sn sp st str t th tr v w wh x y z zh _ _ _"),
      parts("a e i o u a e i o u ai au ea ee ei ia ie io oa oo ou ua y"),
      parts("_ _ _ _ _ _ b ck d f g k l ll m n nd ng nk nt p r rd rk rn rt s sh ss st t tt v x z")};
  static const sounds cyrillic{
      parts("б бр в г гр д др ж з к кл кр л м н п пл пр р с ск сл ст т тр ф х ц ч ш щ _ _"),
      parts("а е и о у ы э ю я а о и е"), parts("_ _ _ _ _ в д й к л м н нт р рк с ст т х ш")};
  static const sounds arabic{parts("ب ت ث ج ح خ د ذ ر ز س ش ص ض ط ع غ ف ق ك ل م ن ه و ي"),
                             parts("ا و ي _ _ _"), parts("_ _ _ _ ر ن ل م س د ب ة")};
  static const sounds devanagari{
      parts("क ख ग घ च छ ज झ ट ठ ड त थ द ध न प फ ब भ म य र ल व श स ह क्र प्र त्र ग्र स्क"),
      parts("_ _ ा ि ी ु ू े ै ो ौ"), parts("_ _ _ _ _ न ं र ल क स")};
  static const sounds katakana{
      parts(
          "ア イ ウ エ オ カ キ ク ケ コ ガ ギ グ ゲ ゴ サ シ ス セ ソ ザ ジ ズ ゼ ゾ タ チ テ ト "
          "ダ デ ド ナ ニ ヌ ネ ノ "
          "ハ ヒ フ ヘ ホ バ ビ ブ ベ ボ パ ピ プ ペ ポ マ ミ ム メ モ ヤ ユ ヨ ラ リ ル レ ロ ワ"),
      parts("_ _ _ ー ッ"), parts("_ _ _ ン")};
  static const sounds hiragana{parts("あ い う え お か き く け こ が ぎ ぐ げ ご さ し す せ そ "
                                     "た ち つ て と な に ぬ ね の は ひ ふ へ ほ ま み む め "
                                     "も や ゆ よ ら り る れ ろ わ"),
                               parts("_"), parts("_ _ _ _ ん")};
  static const sounds kanji{
      parts("山 川 田 中 村 木 林 森 石 井 上 下 小 大 高 松 本 藤 岡 島 崎 原 野 谷 沢 池 橋 宮 "
            "町 北 南 西 東 青 白 黒 金 花 "
            "春 夏 秋 冬 光 明 美 由 紀 太 郎 次 介 彦 奈 里 香 織 真 佐 佑 斗 翔 陽 葵 凛 結"),
      parts("_"), parts("_")};
  static const sounds chinese{parts("阿 艾 安 奥 巴 贝 比 波 布 查 达 德 迪 杜 多 恩 法 菲 弗 格 "
                                    "戈 哈 海 赫 霍 吉 加 杰 卡 凯 科 克 库 拉 莱 兰 雷 里 "
                                    "林 龙 卢 鲁 罗 洛 马 麦 曼 梅 蒙 米 莫 纳 尼 诺 欧 帕 佩 普 "
                                    "奇 乔 萨 塞 沙 斯 索 塔 泰 特 托 瓦 维 温 沃 西 夏 肖 "
                                    "雅 亚 伊 约 泽 扎 小 晓 志 建 丽 芳 雪 梦 宇 浩 轩 涵 欣 怡 "
                                    "子 思 云 飞 鹏 晨 王 李 张 刘 陈 杨 赵 黄 周 吴"),
                              parts("_"), parts("_")};
  if (lang == "ru")
    return cyrillic;
  if (lang == "ar")
    return arabic;
  if (lang == "hi")
    return devanagari;
  if (lang == "zh")
    return chinese;
  if (lang == "ja.kana")
    return katakana;
  if (lang == "ja.soft")
    return hiragana;
  if (lang == "ja")
    return kanji;
  return latin;
}

std::string hangul(std::size_t syllables, rng& chance) {
  // Unicode composes a syllable of 19 openings, 21 vowels and 28 endings, the first of them none.
  constexpr char32_t first = 0xac00;
  std::string made;
  for (; syllables > 0; --syllables) {
    auto ending = chance.next() % 2 == 0 ? 0 : chance.next() % 28;
    auto c =
        first + static_cast<char32_t>((chance.next() % 19 * 21 + chance.next() % 21) * 28 + ending);
    made += static_cast<char>(0xe0 | c >> 12);
    made += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    made += static_cast<char>(0x80 | (c & 0x3f));
  }
  return made;
}

std::string spoken(const sounds& of, std::size_t syllables, rng& chance) {
  std::string made;
  for (; syllables > 0; --syllables)
    for (const auto* list : {&of.open, &of.middle, &of.close})
      made += (*list)[chance.next() % list->size()];
  return made;
}

bool is_latin(std::string_view lang) {
  constexpr std::array others = {"ru", "ar", "hi", "zh", "ja", "ko"};
  for (std::string_view other : others)
    if (lang == other)
      return false;
  return true;
}

} // namespace

std::string invented_word(std::string_view lang, rng& chance) {
  // Brands and foreign names keep their letters whatever the language.
  if (!is_latin(lang) && chance.next() % 6 == 0)
    lang = "en";
  auto syllables = 1 + chance.next() % 3 + (chance.next() % 4 == 0 ? 1 : 0);
  std::string made;
  if (lang == "ko")
    made = hangul(1 + syllables, chance);
  else if (lang == "ja")
    switch (chance.next() % 4) {
      case 0:
        made = spoken(sounds_of("ja"), 2 + chance.next() % 2, chance);
        break;
      case 1:
        made = spoken(sounds_of("ja.soft"), 1 + syllables, chance);
        break;
      default:
        made = spoken(sounds_of("ja.kana"), 1 + syllables, chance);
    }
  else
    made = spoken(sounds_of(lang), lang == "zh" ? 1 + syllables : syllables, chance);
  if (is_latin(lang) && chance.next() % 2 == 0 && made[0] >= 'a' && made[0] <= 'z')
    made[0] = static_cast<char>(made[0] - 'a' + 'A');
  if (chance.next() % 12 == 0)
    made += (chance.next() % 2 == 0 ? " " : "") + std::to_string(chance.next() % 100);
  return made;
}

} // namespace candor::train
