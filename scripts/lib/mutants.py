"""Mutants of C++ sources, for scripts/mutate.sh: small changes, each of which a good test notices.

Sources are cut into tokens, and tokens are changed; nothing is parsed. That works because all of them are laid out by
clang-format: a binary operator has blanks around it, a template's bracket, a pointer's star and a reference have not.
"""

import hashlib
import re
from dataclasses import dataclass

TOKEN = re.compile(r"""
    (?P<skip> //[^\n]* | /\*.*?\*/ | ^[ \t]*\#(?:\\\n|[^\n])* )
  | (?P<text> R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)" | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])+' )
  | (?P<number> (?:0[xX][0-9a-fA-F'.]+(?:[pP][+-]?\d+)?|\d[\d']*\.?\d*(?:[eE][+-]?\d+)?)[uUlLfF]* )
  | (?P<word> [A-Za-z_]\w* )
  | (?P<operator> <<=|>>=|<=>|->|\+\+|--|<<|<=|>=|==|!=|&&|\|\||\+=|-=|\*=|/=|%=|&=|\|=|\^=|::|\.\.\.|[-+*/%&|^!~<>=?:;,.(){}\[\]] )
""", re.VERBOSE | re.DOTALL | re.MULTILINE)

BINARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+": "-",
          "-": "+", "*": "/", "/": "*", "%": "/", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "|=": "&=",
          "&=": "|=", "&": "|", "|": "&", "^": "|", "^=": "|="}
WORDS = {"true": "false", "false": "true", "min": "max", "max": "min", "cos": "sin", "sin": "cos", "floor": "ceil",
         "ceil": "floor", "lower_bound": "upper_bound", "upper_bound": "lower_bound", "min_element": "max_element",
         "max_element": "min_element", "all_of": "any_of", "any_of": "all_of"}
ASSIGN = {"=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<<=", ">>="}
# Not the beginning of a statement that could be left out.
KEYWORDS = {"return", "throw", "using", "namespace", "template", "case", "default", "break", "continue", "goto", "else", "do",
            "if", "for", "while", "switch", "static", "const", "constexpr", "auto", "class", "struct", "enum", "public",
            "private", "protected", "friend", "typedef", "extern", "inline", "virtual", "explicit", "delete", "new",
            "co_return", "try", "catch", "static_assert", "void", "BLOCKTRAIN_EXPECTS"}


@dataclass(frozen=True)
class Mutant:
    """`text[begin:end]` of file `path` replaced by `replacement`."""
    path: str
    begin: int
    end: int
    replacement: str
    line: int     # of the first changed character, from 1
    before: str   # that line
    after: str    # the same in the mutant

    def apply(self, text):
        return text[:self.begin] + self.replacement + text[self.end:]

    def rank(self, key):
        """Place in the keyed order. It does not depend on what else stands in the file."""
        return hashlib.sha256("\0".join([key, self.path, self.before, self.after]).encode()).hexdigest()


@dataclass
class Token:
    kind: str
    text: str
    begin: int
    end: int


def tokens_of(text):
    found = []
    for match in TOKEN.finditer(text):
        kind = match.lastgroup if match.lastgroup != "mark" else "text"
        if kind != "skip":
            found.append(Token(kind, match.group(), match.start(), match.end()))
    return found


def closing(tokens, at):
    """Index of the bracket that closes the one at `at`."""
    pairs, depth = {"(": ")", "[": "]", "{": "}"}, 0
    opened = tokens[at].text
    for i in range(at, len(tokens)):
        if tokens[i].text == opened and tokens[i].kind == "operator":
            depth += 1
        elif tokens[i].text == pairs[opened] and tokens[i].kind == "operator":
            depth -= 1
            if depth == 0:
                return i
    return len(tokens) - 1


def unreached(tokens):
    """Indices of tokens inside preconditions and static assertions: no right program gets a false one, so no test can."""
    inside = set()
    for i, token in enumerate(tokens[:-1]):
        if token.text in ("BLOCKTRAIN_EXPECTS", "static_assert") and tokens[i + 1].text == "(":
            inside.update(range(i, closing(tokens, i + 1) + 1))
    return inside


def number_variants(text):
    match = re.fullmatch(r"([\d']+)([uUlL]*)", text)
    if match:
        value = int(match.group(1).replace("'", "")) if not re.match(r"0\d", match.group(1)) else None
        if value is not None:
            yield str(value + 1) + match.group(2)
            if value > 0:
                yield str(value - 1) + match.group(2)
        return
    if re.fullmatch(r"[\d']*\.?\d*(?:[eE][+-]?\d+)?[fF]?", text):  # not 0x
        digits = text.rstrip("fF")
        yield "(%s * 1.5%s)" % (text, "f" if digits != text else "")


def statement_end(tokens, at):
    """Index of the ; that ends a call or an assignment that begins at `at`, or None: a name, its members, subscripts and
    arguments, and then nothing or an assignment."""
    i = at
    if tokens[i].text == "*":  # *p = x;
        i += 1
    called = False
    while i < len(tokens):
        if tokens[i].kind != "word" or tokens[i].text in KEYWORDS:
            return None
        i += 1
        while i < len(tokens) and tokens[i].text in ("(", "["):
            called = called or tokens[i].text == "("
            i = closing(tokens, i) + 1
        if i < len(tokens) and tokens[i].text in (".", "->", "::"):
            i += 1
            continue
        break
    if i >= len(tokens):
        return None
    if tokens[i].text == ";":
        return i if called else None
    if tokens[i].text not in ASSIGN or tokens[i + 1].text in ("delete", "default"):
        return None
    depth = 0
    for j in range(i, len(tokens)):
        if tokens[j].text in ("(", "[", "{"):
            depth += 1
        elif tokens[j].text in (")", "]", "}"):
            depth -= 1
            if depth < 0:
                return None
        elif tokens[j].text == ";" and depth == 0:
            return j
    return None


def mutants_of(path, text):
    """All mutants of a source, in its order."""
    tokens = tokens_of(text)
    skipped = unreached(tokens)
    found = []

    def add(begin, end, replacement):
        line_begin = text.rfind("\n", 0, begin) + 1
        line_end = text.find("\n", begin)
        changed = text[line_begin:begin] + replacement + (text[end:line_end] if end <= line_end else ";")
        found.append(Mutant(path, begin, end, replacement, text.count("\n", 0, begin) + 1, text[line_begin:line_end].strip(),
                            changed.strip()))

    for i, token in enumerate(tokens):
        if i in skipped:
            continue
        before = tokens[i - 1].text if i > 0 else ""
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        blanks = text[token.begin - 1:token.begin].isspace() and text[token.end:token.end + 1].isspace()
        if token.kind == "number":
            for variant in number_variants(token.text):
                add(token.begin, token.end, variant)
        elif token.kind == "word":
            if token.text in WORDS and before != "." and before != "->":
                if token.text in ("true", "false") or after == "(":
                    add(token.begin, token.end, WORDS[token.text])
            elif token.text in ("if", "while") and after == "(":
                close = closing(tokens, i + 1)
                inner = text[tokens[i + 1].end:tokens[close].begin]
                compared = re.findall(r" (?:==|!=|&&|\|\|) ", inner)
                if len(compared) == 1 and "=" in compared[0]:
                    continue  # the same as the other comparison
                if ";" not in inner and not re.search(r"[^=!<>]=[^=]", inner):  # no declaration in it
                    add(tokens[i + 1].end, tokens[close].begin, "!(%s)" % inner)
        elif token.kind == "operator":
            if token.text == "!" and after != "=":
                add(token.begin, token.end, "")
            elif token.text in BINARY and blanks and before != "operator" and '"' not in before[-1:] + after[:1]:
                add(token.begin, token.end, BINARY[token.text])
            elif token.text in ("<<", ">>") and blanks and re.match(r"\d", after):
                add(token.begin, token.end, ">>" if token.text == "<<" else "<<")
        if before in (";", "{", "}", ")") and (token.kind == "word" or token.text == "*"):
            # After a bracket only where it is that of an if or a loop, alone with its statement.
            if before != ")" or text[tokens[i - 1].end:token.begin].strip() == "":
                end = statement_end(tokens, i)
                if end is not None:
                    add(token.begin, tokens[end].begin, "")
    return found


def function_bodies(text):
    """(begin, end) of the bodies, braces included, of the functions that are defined outside of classes."""
    tokens = tokens_of(text)
    found, i = [], 0
    while i < len(tokens):
        if tokens[i].text == "namespace":
            while i < len(tokens) and tokens[i].text not in ("{", ";", "="):
                i += 1
            i += 1  # and into it
            continue
        # A declaration: up to its ; or its brace.
        begin, arguments, initializers = i, False, False
        while i < len(tokens) and tokens[i].text not in (";", "{", "}", "="):
            if tokens[i].text in ("(", "["):
                arguments = arguments or tokens[i].text == "("
                i = closing(tokens, i)
            elif tokens[i].text == ":":
                initializers = True
            elif tokens[i].text == "operator" and tokens[i + 1].text != "(":
                i += 1  # = and others are part of the name
            i += 1
            if initializers and i < len(tokens) and tokens[i].text == "{" and tokens[i - 1].kind == "word":
                i = closing(tokens, i) + 1  # member_{value}
        words = {t.text for t in tokens[begin:i]}
        if i < len(tokens) and tokens[i].text == "{":
            end = closing(tokens, i)
            if arguments and not words & {"struct", "class", "enum", "union", "constexpr", "consteval"}:
                found.append((tokens[i].begin, tokens[end].end))
            i = end
        elif i < len(tokens) and tokens[i].text == "=":
            while i < len(tokens) and tokens[i].text != ";":
                i = closing(tokens, i) + 1 if tokens[i].text in ("(", "{", "[") else i + 1
        i += 1
    return found


def body_of(mutant, bodies):
    """The body that a mutant is inside of, or None."""
    return next((b for b in bodies if b[0] < mutant.begin and mutant.end < b[1]), None)


def schema(original, text, numbered):
    """Source that does what `text` does, or what one of the mutants does: the one whose number is in BLOCKTRAIN_MUTANT.

    `numbered`: {number from 1: mutant}, each inside of a function's body. A body becomes a row of them, of which one is
    run. What a compiler says of one of them names the file mutant-NUMBER."""
    bodies = function_bodies(text)
    out, at = [], 0
    for begin, end in bodies:
        inside = {n: m for n, m in numbered.items() if begin < m.begin and m.end < end}
        if not inside:
            continue
        out.append(text[at:begin])
        line = text.count("\n", 0, begin) + 1
        out.append("{\n")
        for number, m in inside.items():
            changed = m.apply(text)[begin:end + len(m.replacement) - (m.end - m.begin)]
            out.append('if (blocktrain_mutant == %d)\n#line %d "mutant-%d"\n%s\nelse ' % (number, line, number, changed))
        out.append('\n#line %d "%s"\n%s\n}' % (line, original, text[begin:end]))
        out.append('\n#line %d "%s"\n' % (text.count("\n", 0, end) + 1, original))
        at = end
    out.append(text[at:])
    chosen = ('#include <cstdlib>\nnamespace {\nconst int blocktrain_mutant = std::getenv("BLOCKTRAIN_MUTANT") ? '
              'std::atoi(std::getenv("BLOCKTRAIN_MUTANT")) : 0;\n}\n')
    return chosen + '#line 1 "%s"\n' % original + "".join(out)
