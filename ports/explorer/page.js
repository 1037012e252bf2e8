/*! d3-array, d3-axis, d3-color, d3-format, d3-interpolate, d3-scale, d3-selection, d3-shape, d3-time, d3-time-format

Copyright 2010-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.
*/
/*! d3-path

Copyright 2015-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.
*/
(() => {
  // node_modules/d3-array/dist/d3-array.mjs
  function ascending(a2, b) {
    return a2 == null || b == null ? NaN : a2 < b ? -1 : a2 > b ? 1 : a2 >= b ? 0 : NaN;
  }
  function descending(a2, b) {
    return a2 == null || b == null ? NaN : b < a2 ? -1 : b > a2 ? 1 : b >= a2 ? 0 : NaN;
  }
  function bisector(f) {
    let compare1, compare2, delta;
    if (f.length !== 2) {
      compare1 = ascending;
      compare2 = (d, x2) => ascending(f(d), x2);
      delta = (d, x2) => f(d) - x2;
    } else {
      compare1 = f === ascending || f === descending ? f : zero;
      compare2 = f;
      delta = f;
    }
    function left2(a2, x2, lo = 0, hi = a2.length) {
      if (lo < hi) {
        if (compare1(x2, x2) !== 0) return hi;
        do {
          const mid = lo + hi >>> 1;
          if (compare2(a2[mid], x2) < 0) lo = mid + 1;
          else hi = mid;
        } while (lo < hi);
      }
      return lo;
    }
    function right2(a2, x2, lo = 0, hi = a2.length) {
      if (lo < hi) {
        if (compare1(x2, x2) !== 0) return hi;
        do {
          const mid = lo + hi >>> 1;
          if (compare2(a2[mid], x2) <= 0) lo = mid + 1;
          else hi = mid;
        } while (lo < hi);
      }
      return lo;
    }
    function center2(a2, x2, lo = 0, hi = a2.length) {
      const i = left2(a2, x2, lo, hi - 1);
      return i > lo && delta(a2[i - 1], x2) > -delta(a2[i], x2) ? i - 1 : i;
    }
    return { left: left2, center: center2, right: right2 };
  }
  function zero() {
    return 0;
  }
  function number(x2) {
    return x2 === null ? NaN : +x2;
  }
  var ascendingBisect = bisector(ascending);
  var bisectRight = ascendingBisect.right;
  var bisectLeft = ascendingBisect.left;
  var bisectCenter = bisector(number).center;
  var blur2 = Blur2(blurf);
  var blurImage = Blur2(blurfImage);
  function Blur2(blur) {
    return function(data, rx, ry = rx) {
      if (!((rx = +rx) >= 0)) throw new RangeError("invalid rx");
      if (!((ry = +ry) >= 0)) throw new RangeError("invalid ry");
      let { data: values, width, height } = data;
      if (!((width = Math.floor(width)) >= 0)) throw new RangeError("invalid width");
      if (!((height = Math.floor(height !== void 0 ? height : values.length / width)) >= 0)) throw new RangeError("invalid height");
      if (!width || !height || !rx && !ry) return data;
      const blurx = rx && blur(rx);
      const blury = ry && blur(ry);
      const temp = values.slice();
      if (blurx && blury) {
        blurh(blurx, temp, values, width, height);
        blurh(blurx, values, temp, width, height);
        blurh(blurx, temp, values, width, height);
        blurv(blury, values, temp, width, height);
        blurv(blury, temp, values, width, height);
        blurv(blury, values, temp, width, height);
      } else if (blurx) {
        blurh(blurx, values, temp, width, height);
        blurh(blurx, temp, values, width, height);
        blurh(blurx, values, temp, width, height);
      } else if (blury) {
        blurv(blury, values, temp, width, height);
        blurv(blury, temp, values, width, height);
        blurv(blury, values, temp, width, height);
      }
      return data;
    };
  }
  function blurh(blur, T, S, w, h) {
    for (let y2 = 0, n = w * h; y2 < n; ) {
      blur(T, S, y2, y2 += w, 1);
    }
  }
  function blurv(blur, T, S, w, h) {
    for (let x2 = 0, n = w * h; x2 < w; ++x2) {
      blur(T, S, x2, x2 + n, w);
    }
  }
  function blurfImage(radius) {
    const blur = blurf(radius);
    return (T, S, start2, stop, step) => {
      start2 <<= 2, stop <<= 2, step <<= 2;
      blur(T, S, start2 + 0, stop + 0, step);
      blur(T, S, start2 + 1, stop + 1, step);
      blur(T, S, start2 + 2, stop + 2, step);
      blur(T, S, start2 + 3, stop + 3, step);
    };
  }
  function blurf(radius) {
    const radius0 = Math.floor(radius);
    if (radius0 === radius) return bluri(radius);
    const t = radius - radius0;
    const w = 2 * radius + 1;
    return (T, S, start2, stop, step) => {
      if (!((stop -= step) >= start2)) return;
      let sum = radius0 * S[start2];
      const s0 = step * radius0;
      const s1 = s0 + step;
      for (let i = start2, j = start2 + s0; i < j; i += step) {
        sum += S[Math.min(stop, i)];
      }
      for (let i = start2, j = stop; i <= j; i += step) {
        sum += S[Math.min(stop, i + s0)];
        T[i] = (sum + t * (S[Math.max(start2, i - s1)] + S[Math.min(stop, i + s1)])) / w;
        sum -= S[Math.max(start2, i - s0)];
      }
    };
  }
  function bluri(radius) {
    const w = 2 * radius + 1;
    return (T, S, start2, stop, step) => {
      if (!((stop -= step) >= start2)) return;
      let sum = radius * S[start2];
      const s2 = step * radius;
      for (let i = start2, j = start2 + s2; i < j; i += step) {
        sum += S[Math.min(stop, i)];
      }
      for (let i = start2, j = stop; i <= j; i += step) {
        sum += S[Math.min(stop, i + s2)];
        T[i] = sum / w;
        sum -= S[Math.max(start2, i - s2)];
      }
    };
  }
  function extent(values, valueof) {
    let min;
    let max2;
    if (valueof === void 0) {
      for (const value2 of values) {
        if (value2 != null) {
          if (min === void 0) {
            if (value2 >= value2) min = max2 = value2;
          } else {
            if (min > value2) min = value2;
            if (max2 < value2) max2 = value2;
          }
        }
      }
    } else {
      let index = -1;
      for (let value2 of values) {
        if ((value2 = valueof(value2, ++index, values)) != null) {
          if (min === void 0) {
            if (value2 >= value2) min = max2 = value2;
          } else {
            if (min > value2) min = value2;
            if (max2 < value2) max2 = value2;
          }
        }
      }
    }
    return [min, max2];
  }
  var array = Array.prototype;
  var slice = array.slice;
  var e10 = Math.sqrt(50);
  var e5 = Math.sqrt(10);
  var e2 = Math.sqrt(2);
  function tickSpec(start2, stop, count2) {
    const step = (stop - start2) / Math.max(0, count2), power = Math.floor(Math.log10(step)), error = step / Math.pow(10, power), factor = error >= e10 ? 10 : error >= e5 ? 5 : error >= e2 ? 2 : 1;
    let i1, i2, inc;
    if (power < 0) {
      inc = Math.pow(10, -power) / factor;
      i1 = Math.round(start2 * inc);
      i2 = Math.round(stop * inc);
      if (i1 / inc < start2) ++i1;
      if (i2 / inc > stop) --i2;
      inc = -inc;
    } else {
      inc = Math.pow(10, power) * factor;
      i1 = Math.round(start2 / inc);
      i2 = Math.round(stop / inc);
      if (i1 * inc < start2) ++i1;
      if (i2 * inc > stop) --i2;
    }
    if (i2 < i1 && 0.5 <= count2 && count2 < 2) return tickSpec(start2, stop, count2 * 2);
    return [i1, i2, inc];
  }
  function ticks(start2, stop, count2) {
    stop = +stop, start2 = +start2, count2 = +count2;
    if (!(count2 > 0)) return [];
    if (start2 === stop) return [start2];
    const reverse = stop < start2, [i1, i2, inc] = reverse ? tickSpec(stop, start2, count2) : tickSpec(start2, stop, count2);
    if (!(i2 >= i1)) return [];
    const n = i2 - i1 + 1, ticks2 = new Array(n);
    if (reverse) {
      if (inc < 0) for (let i = 0; i < n; ++i) ticks2[i] = (i2 - i) / -inc;
      else for (let i = 0; i < n; ++i) ticks2[i] = (i2 - i) * inc;
    } else {
      if (inc < 0) for (let i = 0; i < n; ++i) ticks2[i] = (i1 + i) / -inc;
      else for (let i = 0; i < n; ++i) ticks2[i] = (i1 + i) * inc;
    }
    return ticks2;
  }
  function tickIncrement(start2, stop, count2) {
    stop = +stop, start2 = +start2, count2 = +count2;
    return tickSpec(start2, stop, count2)[2];
  }
  function tickStep(start2, stop, count2) {
    stop = +stop, start2 = +start2, count2 = +count2;
    const reverse = stop < start2, inc = reverse ? tickIncrement(stop, start2, count2) : tickIncrement(start2, stop, count2);
    return (reverse ? -1 : 1) * (inc < 0 ? 1 / -inc : inc);
  }
  function max(values, valueof) {
    let max2;
    if (valueof === void 0) {
      for (const value2 of values) {
        if (value2 != null && (max2 < value2 || max2 === void 0 && value2 >= value2)) {
          max2 = value2;
        }
      }
    } else {
      let index = -1;
      for (let value2 of values) {
        if ((value2 = valueof(value2, ++index, values)) != null && (max2 < value2 || max2 === void 0 && value2 >= value2)) {
          max2 = value2;
        }
      }
    }
    return max2;
  }
  var shuffle = shuffler(Math.random);
  function shuffler(random) {
    return function shuffle2(array4, i0 = 0, i1 = array4.length) {
      let m = i1 - (i0 = +i0);
      while (m) {
        const i = random() * m-- | 0, t = array4[m + i0];
        array4[m + i0] = array4[i + i0];
        array4[i + i0] = t;
      }
      return array4;
    };
  }

  // node_modules/d3-color/dist/d3-color.mjs
  function define(constructor, factory, prototype) {
    constructor.prototype = factory.prototype = prototype;
    prototype.constructor = constructor;
  }
  function extend(parent, definition) {
    var prototype = Object.create(parent.prototype);
    for (var key in definition) prototype[key] = definition[key];
    return prototype;
  }
  function Color() {
  }
  var darker = 0.7;
  var brighter = 1 / darker;
  var reI = "\\s*([+-]?\\d+)\\s*";
  var reN = "\\s*([+-]?(?:\\d*\\.)?\\d+(?:[eE][+-]?\\d+)?)\\s*";
  var reP = "\\s*([+-]?(?:\\d*\\.)?\\d+(?:[eE][+-]?\\d+)?)%\\s*";
  var reHex = /^#([0-9a-f]{3,8})$/;
  var reRgbInteger = new RegExp(`^rgb\\(${reI},${reI},${reI}\\)$`);
  var reRgbPercent = new RegExp(`^rgb\\(${reP},${reP},${reP}\\)$`);
  var reRgbaInteger = new RegExp(`^rgba\\(${reI},${reI},${reI},${reN}\\)$`);
  var reRgbaPercent = new RegExp(`^rgba\\(${reP},${reP},${reP},${reN}\\)$`);
  var reHslPercent = new RegExp(`^hsl\\(${reN},${reP},${reP}\\)$`);
  var reHslaPercent = new RegExp(`^hsla\\(${reN},${reP},${reP},${reN}\\)$`);
  var named = {
    aliceblue: 15792383,
    antiquewhite: 16444375,
    aqua: 65535,
    aquamarine: 8388564,
    azure: 15794175,
    beige: 16119260,
    bisque: 16770244,
    black: 0,
    blanchedalmond: 16772045,
    blue: 255,
    blueviolet: 9055202,
    brown: 10824234,
    burlywood: 14596231,
    cadetblue: 6266528,
    chartreuse: 8388352,
    chocolate: 13789470,
    coral: 16744272,
    cornflowerblue: 6591981,
    cornsilk: 16775388,
    crimson: 14423100,
    cyan: 65535,
    darkblue: 139,
    darkcyan: 35723,
    darkgoldenrod: 12092939,
    darkgray: 11119017,
    darkgreen: 25600,
    darkgrey: 11119017,
    darkkhaki: 12433259,
    darkmagenta: 9109643,
    darkolivegreen: 5597999,
    darkorange: 16747520,
    darkorchid: 10040012,
    darkred: 9109504,
    darksalmon: 15308410,
    darkseagreen: 9419919,
    darkslateblue: 4734347,
    darkslategray: 3100495,
    darkslategrey: 3100495,
    darkturquoise: 52945,
    darkviolet: 9699539,
    deeppink: 16716947,
    deepskyblue: 49151,
    dimgray: 6908265,
    dimgrey: 6908265,
    dodgerblue: 2003199,
    firebrick: 11674146,
    floralwhite: 16775920,
    forestgreen: 2263842,
    fuchsia: 16711935,
    gainsboro: 14474460,
    ghostwhite: 16316671,
    gold: 16766720,
    goldenrod: 14329120,
    gray: 8421504,
    green: 32768,
    greenyellow: 11403055,
    grey: 8421504,
    honeydew: 15794160,
    hotpink: 16738740,
    indianred: 13458524,
    indigo: 4915330,
    ivory: 16777200,
    khaki: 15787660,
    lavender: 15132410,
    lavenderblush: 16773365,
    lawngreen: 8190976,
    lemonchiffon: 16775885,
    lightblue: 11393254,
    lightcoral: 15761536,
    lightcyan: 14745599,
    lightgoldenrodyellow: 16448210,
    lightgray: 13882323,
    lightgreen: 9498256,
    lightgrey: 13882323,
    lightpink: 16758465,
    lightsalmon: 16752762,
    lightseagreen: 2142890,
    lightskyblue: 8900346,
    lightslategray: 7833753,
    lightslategrey: 7833753,
    lightsteelblue: 11584734,
    lightyellow: 16777184,
    lime: 65280,
    limegreen: 3329330,
    linen: 16445670,
    magenta: 16711935,
    maroon: 8388608,
    mediumaquamarine: 6737322,
    mediumblue: 205,
    mediumorchid: 12211667,
    mediumpurple: 9662683,
    mediumseagreen: 3978097,
    mediumslateblue: 8087790,
    mediumspringgreen: 64154,
    mediumturquoise: 4772300,
    mediumvioletred: 13047173,
    midnightblue: 1644912,
    mintcream: 16121850,
    mistyrose: 16770273,
    moccasin: 16770229,
    navajowhite: 16768685,
    navy: 128,
    oldlace: 16643558,
    olive: 8421376,
    olivedrab: 7048739,
    orange: 16753920,
    orangered: 16729344,
    orchid: 14315734,
    palegoldenrod: 15657130,
    palegreen: 10025880,
    paleturquoise: 11529966,
    palevioletred: 14381203,
    papayawhip: 16773077,
    peachpuff: 16767673,
    peru: 13468991,
    pink: 16761035,
    plum: 14524637,
    powderblue: 11591910,
    purple: 8388736,
    rebeccapurple: 6697881,
    red: 16711680,
    rosybrown: 12357519,
    royalblue: 4286945,
    saddlebrown: 9127187,
    salmon: 16416882,
    sandybrown: 16032864,
    seagreen: 3050327,
    seashell: 16774638,
    sienna: 10506797,
    silver: 12632256,
    skyblue: 8900331,
    slateblue: 6970061,
    slategray: 7372944,
    slategrey: 7372944,
    snow: 16775930,
    springgreen: 65407,
    steelblue: 4620980,
    tan: 13808780,
    teal: 32896,
    thistle: 14204888,
    tomato: 16737095,
    turquoise: 4251856,
    violet: 15631086,
    wheat: 16113331,
    white: 16777215,
    whitesmoke: 16119285,
    yellow: 16776960,
    yellowgreen: 10145074
  };
  define(Color, color, {
    copy(channels) {
      return Object.assign(new this.constructor(), this, channels);
    },
    displayable() {
      return this.rgb().displayable();
    },
    hex: color_formatHex,
    // Deprecated! Use color.formatHex.
    formatHex: color_formatHex,
    formatHex8: color_formatHex8,
    formatHsl: color_formatHsl,
    formatRgb: color_formatRgb,
    toString: color_formatRgb
  });
  function color_formatHex() {
    return this.rgb().formatHex();
  }
  function color_formatHex8() {
    return this.rgb().formatHex8();
  }
  function color_formatHsl() {
    return hslConvert(this).formatHsl();
  }
  function color_formatRgb() {
    return this.rgb().formatRgb();
  }
  function color(format2) {
    var m, l;
    format2 = (format2 + "").trim().toLowerCase();
    return (m = reHex.exec(format2)) ? (l = m[1].length, m = parseInt(m[1], 16), l === 6 ? rgbn(m) : l === 3 ? new Rgb(m >> 8 & 15 | m >> 4 & 240, m >> 4 & 15 | m & 240, (m & 15) << 4 | m & 15, 1) : l === 8 ? rgba(m >> 24 & 255, m >> 16 & 255, m >> 8 & 255, (m & 255) / 255) : l === 4 ? rgba(m >> 12 & 15 | m >> 8 & 240, m >> 8 & 15 | m >> 4 & 240, m >> 4 & 15 | m & 240, ((m & 15) << 4 | m & 15) / 255) : null) : (m = reRgbInteger.exec(format2)) ? new Rgb(m[1], m[2], m[3], 1) : (m = reRgbPercent.exec(format2)) ? new Rgb(m[1] * 255 / 100, m[2] * 255 / 100, m[3] * 255 / 100, 1) : (m = reRgbaInteger.exec(format2)) ? rgba(m[1], m[2], m[3], m[4]) : (m = reRgbaPercent.exec(format2)) ? rgba(m[1] * 255 / 100, m[2] * 255 / 100, m[3] * 255 / 100, m[4]) : (m = reHslPercent.exec(format2)) ? hsla(m[1], m[2] / 100, m[3] / 100, 1) : (m = reHslaPercent.exec(format2)) ? hsla(m[1], m[2] / 100, m[3] / 100, m[4]) : named.hasOwnProperty(format2) ? rgbn(named[format2]) : format2 === "transparent" ? new Rgb(NaN, NaN, NaN, 0) : null;
  }
  function rgbn(n) {
    return new Rgb(n >> 16 & 255, n >> 8 & 255, n & 255, 1);
  }
  function rgba(r, g, b, a2) {
    if (a2 <= 0) r = g = b = NaN;
    return new Rgb(r, g, b, a2);
  }
  function rgbConvert(o) {
    if (!(o instanceof Color)) o = color(o);
    if (!o) return new Rgb();
    o = o.rgb();
    return new Rgb(o.r, o.g, o.b, o.opacity);
  }
  function rgb(r, g, b, opacity) {
    return arguments.length === 1 ? rgbConvert(r) : new Rgb(r, g, b, opacity == null ? 1 : opacity);
  }
  function Rgb(r, g, b, opacity) {
    this.r = +r;
    this.g = +g;
    this.b = +b;
    this.opacity = +opacity;
  }
  define(Rgb, rgb, extend(Color, {
    brighter(k2) {
      k2 = k2 == null ? brighter : Math.pow(brighter, k2);
      return new Rgb(this.r * k2, this.g * k2, this.b * k2, this.opacity);
    },
    darker(k2) {
      k2 = k2 == null ? darker : Math.pow(darker, k2);
      return new Rgb(this.r * k2, this.g * k2, this.b * k2, this.opacity);
    },
    rgb() {
      return this;
    },
    clamp() {
      return new Rgb(clampi(this.r), clampi(this.g), clampi(this.b), clampa(this.opacity));
    },
    displayable() {
      return -0.5 <= this.r && this.r < 255.5 && (-0.5 <= this.g && this.g < 255.5) && (-0.5 <= this.b && this.b < 255.5) && (0 <= this.opacity && this.opacity <= 1);
    },
    hex: rgb_formatHex,
    // Deprecated! Use color.formatHex.
    formatHex: rgb_formatHex,
    formatHex8: rgb_formatHex8,
    formatRgb: rgb_formatRgb,
    toString: rgb_formatRgb
  }));
  function rgb_formatHex() {
    return `#${hex(this.r)}${hex(this.g)}${hex(this.b)}`;
  }
  function rgb_formatHex8() {
    return `#${hex(this.r)}${hex(this.g)}${hex(this.b)}${hex((isNaN(this.opacity) ? 1 : this.opacity) * 255)}`;
  }
  function rgb_formatRgb() {
    const a2 = clampa(this.opacity);
    return `${a2 === 1 ? "rgb(" : "rgba("}${clampi(this.r)}, ${clampi(this.g)}, ${clampi(this.b)}${a2 === 1 ? ")" : `, ${a2})`}`;
  }
  function clampa(opacity) {
    return isNaN(opacity) ? 1 : Math.max(0, Math.min(1, opacity));
  }
  function clampi(value2) {
    return Math.max(0, Math.min(255, Math.round(value2) || 0));
  }
  function hex(value2) {
    value2 = clampi(value2);
    return (value2 < 16 ? "0" : "") + value2.toString(16);
  }
  function hsla(h, s2, l, a2) {
    if (a2 <= 0) h = s2 = l = NaN;
    else if (l <= 0 || l >= 1) h = s2 = NaN;
    else if (s2 <= 0) h = NaN;
    return new Hsl(h, s2, l, a2);
  }
  function hslConvert(o) {
    if (o instanceof Hsl) return new Hsl(o.h, o.s, o.l, o.opacity);
    if (!(o instanceof Color)) o = color(o);
    if (!o) return new Hsl();
    if (o instanceof Hsl) return o;
    o = o.rgb();
    var r = o.r / 255, g = o.g / 255, b = o.b / 255, min = Math.min(r, g, b), max2 = Math.max(r, g, b), h = NaN, s2 = max2 - min, l = (max2 + min) / 2;
    if (s2) {
      if (r === max2) h = (g - b) / s2 + (g < b) * 6;
      else if (g === max2) h = (b - r) / s2 + 2;
      else h = (r - g) / s2 + 4;
      s2 /= l < 0.5 ? max2 + min : 2 - max2 - min;
      h *= 60;
    } else {
      s2 = l > 0 && l < 1 ? 0 : h;
    }
    return new Hsl(h, s2, l, o.opacity);
  }
  function hsl(h, s2, l, opacity) {
    return arguments.length === 1 ? hslConvert(h) : new Hsl(h, s2, l, opacity == null ? 1 : opacity);
  }
  function Hsl(h, s2, l, opacity) {
    this.h = +h;
    this.s = +s2;
    this.l = +l;
    this.opacity = +opacity;
  }
  define(Hsl, hsl, extend(Color, {
    brighter(k2) {
      k2 = k2 == null ? brighter : Math.pow(brighter, k2);
      return new Hsl(this.h, this.s, this.l * k2, this.opacity);
    },
    darker(k2) {
      k2 = k2 == null ? darker : Math.pow(darker, k2);
      return new Hsl(this.h, this.s, this.l * k2, this.opacity);
    },
    rgb() {
      var h = this.h % 360 + (this.h < 0) * 360, s2 = isNaN(h) || isNaN(this.s) ? 0 : this.s, l = this.l, m2 = l + (l < 0.5 ? l : 1 - l) * s2, m1 = 2 * l - m2;
      return new Rgb(
        hsl2rgb(h >= 240 ? h - 240 : h + 120, m1, m2),
        hsl2rgb(h, m1, m2),
        hsl2rgb(h < 120 ? h + 240 : h - 120, m1, m2),
        this.opacity
      );
    },
    clamp() {
      return new Hsl(clamph(this.h), clampt(this.s), clampt(this.l), clampa(this.opacity));
    },
    displayable() {
      return (0 <= this.s && this.s <= 1 || isNaN(this.s)) && (0 <= this.l && this.l <= 1) && (0 <= this.opacity && this.opacity <= 1);
    },
    formatHsl() {
      const a2 = clampa(this.opacity);
      return `${a2 === 1 ? "hsl(" : "hsla("}${clamph(this.h)}, ${clampt(this.s) * 100}%, ${clampt(this.l) * 100}%${a2 === 1 ? ")" : `, ${a2})`}`;
    }
  }));
  function clamph(value2) {
    value2 = (value2 || 0) % 360;
    return value2 < 0 ? value2 + 360 : value2;
  }
  function clampt(value2) {
    return Math.max(0, Math.min(1, value2 || 0));
  }
  function hsl2rgb(h, m1, m2) {
    return (h < 60 ? m1 + (m2 - m1) * h / 60 : h < 180 ? m2 : h < 240 ? m1 + (m2 - m1) * (240 - h) / 60 : m1) * 255;
  }
  var radians = Math.PI / 180;
  var degrees = 180 / Math.PI;
  var K = 18;
  var Xn = 0.96422;
  var Yn = 1;
  var Zn = 0.82521;
  var t0 = 4 / 29;
  var t1 = 6 / 29;
  var t2 = 3 * t1 * t1;
  var t3 = t1 * t1 * t1;
  function labConvert(o) {
    if (o instanceof Lab) return new Lab(o.l, o.a, o.b, o.opacity);
    if (o instanceof Hcl) return hcl2lab(o);
    if (!(o instanceof Rgb)) o = rgbConvert(o);
    var r = rgb2lrgb(o.r), g = rgb2lrgb(o.g), b = rgb2lrgb(o.b), y2 = xyz2lab((0.2225045 * r + 0.7168786 * g + 0.0606169 * b) / Yn), x2, z;
    if (r === g && g === b) x2 = z = y2;
    else {
      x2 = xyz2lab((0.4360747 * r + 0.3850649 * g + 0.1430804 * b) / Xn);
      z = xyz2lab((0.0139322 * r + 0.0971045 * g + 0.7141733 * b) / Zn);
    }
    return new Lab(116 * y2 - 16, 500 * (x2 - y2), 200 * (y2 - z), o.opacity);
  }
  function lab(l, a2, b, opacity) {
    return arguments.length === 1 ? labConvert(l) : new Lab(l, a2, b, opacity == null ? 1 : opacity);
  }
  function Lab(l, a2, b, opacity) {
    this.l = +l;
    this.a = +a2;
    this.b = +b;
    this.opacity = +opacity;
  }
  define(Lab, lab, extend(Color, {
    brighter(k2) {
      return new Lab(this.l + K * (k2 == null ? 1 : k2), this.a, this.b, this.opacity);
    },
    darker(k2) {
      return new Lab(this.l - K * (k2 == null ? 1 : k2), this.a, this.b, this.opacity);
    },
    rgb() {
      var y2 = (this.l + 16) / 116, x2 = isNaN(this.a) ? y2 : y2 + this.a / 500, z = isNaN(this.b) ? y2 : y2 - this.b / 200;
      x2 = Xn * lab2xyz(x2);
      y2 = Yn * lab2xyz(y2);
      z = Zn * lab2xyz(z);
      return new Rgb(
        lrgb2rgb(3.1338561 * x2 - 1.6168667 * y2 - 0.4906146 * z),
        lrgb2rgb(-0.9787684 * x2 + 1.9161415 * y2 + 0.033454 * z),
        lrgb2rgb(0.0719453 * x2 - 0.2289914 * y2 + 1.4052427 * z),
        this.opacity
      );
    }
  }));
  function xyz2lab(t) {
    return t > t3 ? Math.pow(t, 1 / 3) : t / t2 + t0;
  }
  function lab2xyz(t) {
    return t > t1 ? t * t * t : t2 * (t - t0);
  }
  function lrgb2rgb(x2) {
    return 255 * (x2 <= 31308e-7 ? 12.92 * x2 : 1.055 * Math.pow(x2, 1 / 2.4) - 0.055);
  }
  function rgb2lrgb(x2) {
    return (x2 /= 255) <= 0.04045 ? x2 / 12.92 : Math.pow((x2 + 0.055) / 1.055, 2.4);
  }
  function hclConvert(o) {
    if (o instanceof Hcl) return new Hcl(o.h, o.c, o.l, o.opacity);
    if (!(o instanceof Lab)) o = labConvert(o);
    if (o.a === 0 && o.b === 0) return new Hcl(NaN, 0 < o.l && o.l < 100 ? 0 : NaN, o.l, o.opacity);
    var h = Math.atan2(o.b, o.a) * degrees;
    return new Hcl(h < 0 ? h + 360 : h, Math.sqrt(o.a * o.a + o.b * o.b), o.l, o.opacity);
  }
  function hcl(h, c, l, opacity) {
    return arguments.length === 1 ? hclConvert(h) : new Hcl(h, c, l, opacity == null ? 1 : opacity);
  }
  function Hcl(h, c, l, opacity) {
    this.h = +h;
    this.c = +c;
    this.l = +l;
    this.opacity = +opacity;
  }
  function hcl2lab(o) {
    if (isNaN(o.h)) return new Lab(o.l, 0, 0, o.opacity);
    var h = o.h * radians;
    return new Lab(o.l, Math.cos(h) * o.c, Math.sin(h) * o.c, o.opacity);
  }
  define(Hcl, hcl, extend(Color, {
    brighter(k2) {
      return new Hcl(this.h, this.c, this.l + K * (k2 == null ? 1 : k2), this.opacity);
    },
    darker(k2) {
      return new Hcl(this.h, this.c, this.l - K * (k2 == null ? 1 : k2), this.opacity);
    },
    rgb() {
      return hcl2lab(this).rgb();
    }
  }));
  var A = -0.14861;
  var B = 1.78277;
  var C = -0.29227;
  var D = -0.90649;
  var E = 1.97294;
  var ED = E * D;
  var EB = E * B;
  var BC_DA = B * C - D * A;
  function cubehelixConvert(o) {
    if (o instanceof Cubehelix) return new Cubehelix(o.h, o.s, o.l, o.opacity);
    if (!(o instanceof Rgb)) o = rgbConvert(o);
    var r = o.r / 255, g = o.g / 255, b = o.b / 255, l = (BC_DA * b + ED * r - EB * g) / (BC_DA + ED - EB), bl = b - l, k2 = (E * (g - l) - C * bl) / D, s2 = Math.sqrt(k2 * k2 + bl * bl) / (E * l * (1 - l)), h = s2 ? Math.atan2(k2, bl) * degrees - 120 : NaN;
    return new Cubehelix(h < 0 ? h + 360 : h, s2, l, o.opacity);
  }
  function cubehelix(h, s2, l, opacity) {
    return arguments.length === 1 ? cubehelixConvert(h) : new Cubehelix(h, s2, l, opacity == null ? 1 : opacity);
  }
  function Cubehelix(h, s2, l, opacity) {
    this.h = +h;
    this.s = +s2;
    this.l = +l;
    this.opacity = +opacity;
  }
  define(Cubehelix, cubehelix, extend(Color, {
    brighter(k2) {
      k2 = k2 == null ? brighter : Math.pow(brighter, k2);
      return new Cubehelix(this.h, this.s, this.l * k2, this.opacity);
    },
    darker(k2) {
      k2 = k2 == null ? darker : Math.pow(darker, k2);
      return new Cubehelix(this.h, this.s, this.l * k2, this.opacity);
    },
    rgb() {
      var h = isNaN(this.h) ? 0 : (this.h + 120) * radians, l = +this.l, a2 = isNaN(this.s) ? 0 : this.s * l * (1 - l), cosh2 = Math.cos(h), sinh2 = Math.sin(h);
      return new Rgb(
        255 * (l + a2 * (A * cosh2 + B * sinh2)),
        255 * (l + a2 * (C * cosh2 + D * sinh2)),
        255 * (l + a2 * (E * cosh2)),
        this.opacity
      );
    }
  }));

  // node_modules/d3-interpolate/dist/d3-interpolate.mjs
  function basis(t12, v0, v1, v2, v3) {
    var t22 = t12 * t12, t32 = t22 * t12;
    return ((1 - 3 * t12 + 3 * t22 - t32) * v0 + (4 - 6 * t22 + 3 * t32) * v1 + (1 + 3 * t12 + 3 * t22 - 3 * t32) * v2 + t32 * v3) / 6;
  }
  function basis$1(values) {
    var n = values.length - 1;
    return function(t) {
      var i = t <= 0 ? t = 0 : t >= 1 ? (t = 1, n - 1) : Math.floor(t * n), v1 = values[i], v2 = values[i + 1], v0 = i > 0 ? values[i - 1] : 2 * v1 - v2, v3 = i < n - 1 ? values[i + 2] : 2 * v2 - v1;
      return basis((t - i / n) * n, v0, v1, v2, v3);
    };
  }
  function basisClosed(values) {
    var n = values.length;
    return function(t) {
      var i = Math.floor(((t %= 1) < 0 ? ++t : t) * n), v0 = values[(i + n - 1) % n], v1 = values[i % n], v2 = values[(i + 1) % n], v3 = values[(i + 2) % n];
      return basis((t - i / n) * n, v0, v1, v2, v3);
    };
  }
  var constant = (x2) => () => x2;
  function linear(a2, d) {
    return function(t) {
      return a2 + t * d;
    };
  }
  function exponential(a2, b, y2) {
    return a2 = Math.pow(a2, y2), b = Math.pow(b, y2) - a2, y2 = 1 / y2, function(t) {
      return Math.pow(a2 + t * b, y2);
    };
  }
  function hue$1(a2, b) {
    var d = b - a2;
    return d ? linear(a2, d > 180 || d < -180 ? d - 360 * Math.round(d / 360) : d) : constant(isNaN(a2) ? b : a2);
  }
  function gamma(y2) {
    return (y2 = +y2) === 1 ? nogamma : function(a2, b) {
      return b - a2 ? exponential(a2, b, y2) : constant(isNaN(a2) ? b : a2);
    };
  }
  function nogamma(a2, b) {
    var d = b - a2;
    return d ? linear(a2, d) : constant(isNaN(a2) ? b : a2);
  }
  var rgb2 = (function rgbGamma(y2) {
    var color2 = gamma(y2);
    function rgb3(start2, end) {
      var r = color2((start2 = rgb(start2)).r, (end = rgb(end)).r), g = color2(start2.g, end.g), b = color2(start2.b, end.b), opacity = nogamma(start2.opacity, end.opacity);
      return function(t) {
        start2.r = r(t);
        start2.g = g(t);
        start2.b = b(t);
        start2.opacity = opacity(t);
        return start2 + "";
      };
    }
    rgb3.gamma = rgbGamma;
    return rgb3;
  })(1);
  function rgbSpline(spline) {
    return function(colors) {
      var n = colors.length, r = new Array(n), g = new Array(n), b = new Array(n), i, color2;
      for (i = 0; i < n; ++i) {
        color2 = rgb(colors[i]);
        r[i] = color2.r || 0;
        g[i] = color2.g || 0;
        b[i] = color2.b || 0;
      }
      r = spline(r);
      g = spline(g);
      b = spline(b);
      color2.opacity = 1;
      return function(t) {
        color2.r = r(t);
        color2.g = g(t);
        color2.b = b(t);
        return color2 + "";
      };
    };
  }
  var rgbBasis = rgbSpline(basis$1);
  var rgbBasisClosed = rgbSpline(basisClosed);
  function numberArray(a2, b) {
    if (!b) b = [];
    var n = a2 ? Math.min(b.length, a2.length) : 0, c = b.slice(), i;
    return function(t) {
      for (i = 0; i < n; ++i) c[i] = a2[i] * (1 - t) + b[i] * t;
      return c;
    };
  }
  function isNumberArray(x2) {
    return ArrayBuffer.isView(x2) && !(x2 instanceof DataView);
  }
  function genericArray(a2, b) {
    var nb = b ? b.length : 0, na = a2 ? Math.min(nb, a2.length) : 0, x2 = new Array(na), c = new Array(nb), i;
    for (i = 0; i < na; ++i) x2[i] = value(a2[i], b[i]);
    for (; i < nb; ++i) c[i] = b[i];
    return function(t) {
      for (i = 0; i < na; ++i) c[i] = x2[i](t);
      return c;
    };
  }
  function date(a2, b) {
    var d = /* @__PURE__ */ new Date();
    return a2 = +a2, b = +b, function(t) {
      return d.setTime(a2 * (1 - t) + b * t), d;
    };
  }
  function number2(a2, b) {
    return a2 = +a2, b = +b, function(t) {
      return a2 * (1 - t) + b * t;
    };
  }
  function object(a2, b) {
    var i = {}, c = {}, k2;
    if (a2 === null || typeof a2 !== "object") a2 = {};
    if (b === null || typeof b !== "object") b = {};
    for (k2 in b) {
      if (k2 in a2) {
        i[k2] = value(a2[k2], b[k2]);
      } else {
        c[k2] = b[k2];
      }
    }
    return function(t) {
      for (k2 in i) c[k2] = i[k2](t);
      return c;
    };
  }
  var reA = /[-+]?(?:\d+\.?\d*|\.?\d+)(?:[eE][-+]?\d+)?/g;
  var reB = new RegExp(reA.source, "g");
  function zero2(b) {
    return function() {
      return b;
    };
  }
  function one(b) {
    return function(t) {
      return b(t) + "";
    };
  }
  function string(a2, b) {
    var bi = reA.lastIndex = reB.lastIndex = 0, am, bm, bs, i = -1, s2 = [], q = [];
    a2 = a2 + "", b = b + "";
    while ((am = reA.exec(a2)) && (bm = reB.exec(b))) {
      if ((bs = bm.index) > bi) {
        bs = b.slice(bi, bs);
        if (s2[i]) s2[i] += bs;
        else s2[++i] = bs;
      }
      if ((am = am[0]) === (bm = bm[0])) {
        if (s2[i]) s2[i] += bm;
        else s2[++i] = bm;
      } else {
        s2[++i] = null;
        q.push({ i, x: number2(am, bm) });
      }
      bi = reB.lastIndex;
    }
    if (bi < b.length) {
      bs = b.slice(bi);
      if (s2[i]) s2[i] += bs;
      else s2[++i] = bs;
    }
    return s2.length < 2 ? q[0] ? one(q[0].x) : zero2(b) : (b = q.length, function(t) {
      for (var i2 = 0, o; i2 < b; ++i2) s2[(o = q[i2]).i] = o.x(t);
      return s2.join("");
    });
  }
  function value(a2, b) {
    var t = typeof b, c;
    return b == null || t === "boolean" ? constant(b) : (t === "number" ? number2 : t === "string" ? (c = color(b)) ? (b = c, rgb2) : string : b instanceof color ? rgb2 : b instanceof Date ? date : isNumberArray(b) ? numberArray : Array.isArray(b) ? genericArray : typeof b.valueOf !== "function" && typeof b.toString !== "function" || isNaN(b) ? object : number2)(a2, b);
  }
  function round(a2, b) {
    return a2 = +a2, b = +b, function(t) {
      return Math.round(a2 * (1 - t) + b * t);
    };
  }
  var degrees2 = 180 / Math.PI;
  var identity = {
    translateX: 0,
    translateY: 0,
    rotate: 0,
    skewX: 0,
    scaleX: 1,
    scaleY: 1
  };
  function decompose(a2, b, c, d, e, f) {
    var scaleX, scaleY, skewX;
    if (scaleX = Math.sqrt(a2 * a2 + b * b)) a2 /= scaleX, b /= scaleX;
    if (skewX = a2 * c + b * d) c -= a2 * skewX, d -= b * skewX;
    if (scaleY = Math.sqrt(c * c + d * d)) c /= scaleY, d /= scaleY, skewX /= scaleY;
    if (a2 * d < b * c) a2 = -a2, b = -b, skewX = -skewX, scaleX = -scaleX;
    return {
      translateX: e,
      translateY: f,
      rotate: Math.atan2(b, a2) * degrees2,
      skewX: Math.atan(skewX) * degrees2,
      scaleX,
      scaleY
    };
  }
  var svgNode;
  function parseCss(value2) {
    const m = new (typeof DOMMatrix === "function" ? DOMMatrix : WebKitCSSMatrix)(value2 + "");
    return m.isIdentity ? identity : decompose(m.a, m.b, m.c, m.d, m.e, m.f);
  }
  function parseSvg(value2) {
    if (value2 == null) return identity;
    if (!svgNode) svgNode = document.createElementNS("http://www.w3.org/2000/svg", "g");
    svgNode.setAttribute("transform", value2);
    if (!(value2 = svgNode.transform.baseVal.consolidate())) return identity;
    value2 = value2.matrix;
    return decompose(value2.a, value2.b, value2.c, value2.d, value2.e, value2.f);
  }
  function interpolateTransform(parse2, pxComma, pxParen, degParen) {
    function pop(s2) {
      return s2.length ? s2.pop() + " " : "";
    }
    function translate(xa, ya, xb, yb, s2, q) {
      if (xa !== xb || ya !== yb) {
        var i = s2.push("translate(", null, pxComma, null, pxParen);
        q.push({ i: i - 4, x: number2(xa, xb) }, { i: i - 2, x: number2(ya, yb) });
      } else if (xb || yb) {
        s2.push("translate(" + xb + pxComma + yb + pxParen);
      }
    }
    function rotate(a2, b, s2, q) {
      if (a2 !== b) {
        if (a2 - b > 180) b += 360;
        else if (b - a2 > 180) a2 += 360;
        q.push({ i: s2.push(pop(s2) + "rotate(", null, degParen) - 2, x: number2(a2, b) });
      } else if (b) {
        s2.push(pop(s2) + "rotate(" + b + degParen);
      }
    }
    function skewX(a2, b, s2, q) {
      if (a2 !== b) {
        q.push({ i: s2.push(pop(s2) + "skewX(", null, degParen) - 2, x: number2(a2, b) });
      } else if (b) {
        s2.push(pop(s2) + "skewX(" + b + degParen);
      }
    }
    function scale(xa, ya, xb, yb, s2, q) {
      if (xa !== xb || ya !== yb) {
        var i = s2.push(pop(s2) + "scale(", null, ",", null, ")");
        q.push({ i: i - 4, x: number2(xa, xb) }, { i: i - 2, x: number2(ya, yb) });
      } else if (xb !== 1 || yb !== 1) {
        s2.push(pop(s2) + "scale(" + xb + "," + yb + ")");
      }
    }
    return function(a2, b) {
      var s2 = [], q = [];
      a2 = parse2(a2), b = parse2(b);
      translate(a2.translateX, a2.translateY, b.translateX, b.translateY, s2, q);
      rotate(a2.rotate, b.rotate, s2, q);
      skewX(a2.skewX, b.skewX, s2, q);
      scale(a2.scaleX, a2.scaleY, b.scaleX, b.scaleY, s2, q);
      a2 = b = null;
      return function(t) {
        var i = -1, n = q.length, o;
        while (++i < n) s2[(o = q[i]).i] = o.x(t);
        return s2.join("");
      };
    };
  }
  var interpolateTransformCss = interpolateTransform(parseCss, "px, ", "px)", "deg)");
  var interpolateTransformSvg = interpolateTransform(parseSvg, ", ", ")", ")");
  var epsilon2 = 1e-12;
  function cosh(x2) {
    return ((x2 = Math.exp(x2)) + 1 / x2) / 2;
  }
  function sinh(x2) {
    return ((x2 = Math.exp(x2)) - 1 / x2) / 2;
  }
  function tanh(x2) {
    return ((x2 = Math.exp(2 * x2)) - 1) / (x2 + 1);
  }
  var zoom = (function zoomRho(rho, rho2, rho4) {
    function zoom2(p0, p1) {
      var ux0 = p0[0], uy0 = p0[1], w0 = p0[2], ux1 = p1[0], uy1 = p1[1], w1 = p1[2], dx = ux1 - ux0, dy = uy1 - uy0, d2 = dx * dx + dy * dy, i, S;
      if (d2 < epsilon2) {
        S = Math.log(w1 / w0) / rho;
        i = function(t) {
          return [
            ux0 + t * dx,
            uy0 + t * dy,
            w0 * Math.exp(rho * t * S)
          ];
        };
      } else {
        var d1 = Math.sqrt(d2), b0 = (w1 * w1 - w0 * w0 + rho4 * d2) / (2 * w0 * rho2 * d1), b1 = (w1 * w1 - w0 * w0 - rho4 * d2) / (2 * w1 * rho2 * d1), r0 = Math.log(Math.sqrt(b0 * b0 + 1) - b0), r1 = Math.log(Math.sqrt(b1 * b1 + 1) - b1);
        S = (r1 - r0) / rho;
        i = function(t) {
          var s2 = t * S, coshr0 = cosh(r0), u = w0 / (rho2 * d1) * (coshr0 * tanh(rho * s2 + r0) - sinh(r0));
          return [
            ux0 + u * dx,
            uy0 + u * dy,
            w0 * coshr0 / cosh(rho * s2 + r0)
          ];
        };
      }
      i.duration = Math.abs(S) * 1e3 * rho / Math.SQRT2;
      return i;
    }
    zoom2.rho = function(_) {
      var _1 = Math.max(1e-3, +_), _2 = _1 * _1, _4 = _2 * _2;
      return zoomRho(_1, _2, _4);
    };
    return zoom2;
  })(Math.SQRT2, 2, 4);
  function hsl2(hue) {
    return function(start2, end) {
      var h = hue((start2 = hsl(start2)).h, (end = hsl(end)).h), s2 = nogamma(start2.s, end.s), l = nogamma(start2.l, end.l), opacity = nogamma(start2.opacity, end.opacity);
      return function(t) {
        start2.h = h(t);
        start2.s = s2(t);
        start2.l = l(t);
        start2.opacity = opacity(t);
        return start2 + "";
      };
    };
  }
  var hsl_default = hsl2(hue$1);
  var hslLong = hsl2(nogamma);
  function hcl2(hue) {
    return function(start2, end) {
      var h = hue((start2 = hcl(start2)).h, (end = hcl(end)).h), c = nogamma(start2.c, end.c), l = nogamma(start2.l, end.l), opacity = nogamma(start2.opacity, end.opacity);
      return function(t) {
        start2.h = h(t);
        start2.c = c(t);
        start2.l = l(t);
        start2.opacity = opacity(t);
        return start2 + "";
      };
    };
  }
  var hcl_default = hcl2(hue$1);
  var hclLong = hcl2(nogamma);
  function cubehelix2(hue) {
    return (function cubehelixGamma(y2) {
      y2 = +y2;
      function cubehelix3(start2, end) {
        var h = hue((start2 = cubehelix(start2)).h, (end = cubehelix(end)).h), s2 = nogamma(start2.s, end.s), l = nogamma(start2.l, end.l), opacity = nogamma(start2.opacity, end.opacity);
        return function(t) {
          start2.h = h(t);
          start2.s = s2(t);
          start2.l = l(Math.pow(t, y2));
          start2.opacity = opacity(t);
          return start2 + "";
        };
      }
      cubehelix3.gamma = cubehelixGamma;
      return cubehelix3;
    })(1);
  }
  var cubehelix_default = cubehelix2(hue$1);
  var cubehelixLong = cubehelix2(nogamma);

  // node_modules/d3-format/dist/d3-format.mjs
  function formatDecimal(x2) {
    return Math.abs(x2 = Math.round(x2)) >= 1e21 ? x2.toLocaleString("en").replace(/,/g, "") : x2.toString(10);
  }
  function formatDecimalParts(x2, p) {
    if (!isFinite(x2) || x2 === 0) return null;
    var i = (x2 = p ? x2.toExponential(p - 1) : x2.toExponential()).indexOf("e"), coefficient = x2.slice(0, i);
    return [
      coefficient.length > 1 ? coefficient[0] + coefficient.slice(2) : coefficient,
      +x2.slice(i + 1)
    ];
  }
  function exponent(x2) {
    return x2 = formatDecimalParts(Math.abs(x2)), x2 ? x2[1] : NaN;
  }
  function formatGroup(grouping, thousands2) {
    return function(value2, width) {
      var i = value2.length, t = [], j = 0, g = grouping[0], length = 0;
      while (i > 0 && g > 0) {
        if (length + g + 1 > width) g = Math.max(1, width - length);
        t.push(value2.substring(i -= g, i + g));
        if ((length += g + 1) > width) break;
        g = grouping[j = (j + 1) % grouping.length];
      }
      return t.reverse().join(thousands2);
    };
  }
  function formatNumerals(numerals) {
    return function(value2) {
      return value2.replace(/[0-9]/g, function(i) {
        return numerals[+i];
      });
    };
  }
  var re = /^(?:(.)?([<>=^]))?([+\-( ])?([$#])?(0)?(\d+)?(,)?(\.\d+)?(~)?([a-z%])?$/i;
  function formatSpecifier(specifier) {
    if (!(match = re.exec(specifier))) throw new Error("invalid format: " + specifier);
    var match;
    return new FormatSpecifier({
      fill: match[1],
      align: match[2],
      sign: match[3],
      symbol: match[4],
      zero: match[5],
      width: match[6],
      comma: match[7],
      precision: match[8] && match[8].slice(1),
      trim: match[9],
      type: match[10]
    });
  }
  formatSpecifier.prototype = FormatSpecifier.prototype;
  function FormatSpecifier(specifier) {
    this.fill = specifier.fill === void 0 ? " " : specifier.fill + "";
    this.align = specifier.align === void 0 ? ">" : specifier.align + "";
    this.sign = specifier.sign === void 0 ? "-" : specifier.sign + "";
    this.symbol = specifier.symbol === void 0 ? "" : specifier.symbol + "";
    this.zero = !!specifier.zero;
    this.width = specifier.width === void 0 ? void 0 : +specifier.width;
    this.comma = !!specifier.comma;
    this.precision = specifier.precision === void 0 ? void 0 : +specifier.precision;
    this.trim = !!specifier.trim;
    this.type = specifier.type === void 0 ? "" : specifier.type + "";
  }
  FormatSpecifier.prototype.toString = function() {
    return this.fill + this.align + this.sign + this.symbol + (this.zero ? "0" : "") + (this.width === void 0 ? "" : Math.max(1, this.width | 0)) + (this.comma ? "," : "") + (this.precision === void 0 ? "" : "." + Math.max(0, this.precision | 0)) + (this.trim ? "~" : "") + this.type;
  };
  function formatTrim(s2) {
    out: for (var n = s2.length, i = 1, i0 = -1, i1; i < n; ++i) {
      switch (s2[i]) {
        case ".":
          i0 = i1 = i;
          break;
        case "0":
          if (i0 === 0) i0 = i;
          i1 = i;
          break;
        default:
          if (!+s2[i]) break out;
          if (i0 > 0) i0 = 0;
          break;
      }
    }
    return i0 > 0 ? s2.slice(0, i0) + s2.slice(i1 + 1) : s2;
  }
  var prefixExponent;
  function formatPrefixAuto(x2, p) {
    var d = formatDecimalParts(x2, p);
    if (!d) return prefixExponent = void 0, x2.toPrecision(p);
    var coefficient = d[0], exponent2 = d[1], i = exponent2 - (prefixExponent = Math.max(-8, Math.min(8, Math.floor(exponent2 / 3))) * 3) + 1, n = coefficient.length;
    return i === n ? coefficient : i > n ? coefficient + new Array(i - n + 1).join("0") : i > 0 ? coefficient.slice(0, i) + "." + coefficient.slice(i) : "0." + new Array(1 - i).join("0") + formatDecimalParts(x2, Math.max(0, p + i - 1))[0];
  }
  function formatRounded(x2, p) {
    var d = formatDecimalParts(x2, p);
    if (!d) return x2 + "";
    var coefficient = d[0], exponent2 = d[1];
    return exponent2 < 0 ? "0." + new Array(-exponent2).join("0") + coefficient : coefficient.length > exponent2 + 1 ? coefficient.slice(0, exponent2 + 1) + "." + coefficient.slice(exponent2 + 1) : coefficient + new Array(exponent2 - coefficient.length + 2).join("0");
  }
  var formatTypes = {
    "%": (x2, p) => (x2 * 100).toFixed(p),
    "b": (x2) => Math.round(x2).toString(2),
    "c": (x2) => x2 + "",
    "d": formatDecimal,
    "e": (x2, p) => x2.toExponential(p),
    "f": (x2, p) => x2.toFixed(p),
    "g": (x2, p) => x2.toPrecision(p),
    "o": (x2) => Math.round(x2).toString(8),
    "p": (x2, p) => formatRounded(x2 * 100, p),
    "r": formatRounded,
    "s": formatPrefixAuto,
    "X": (x2) => Math.round(x2).toString(16).toUpperCase(),
    "x": (x2) => Math.round(x2).toString(16)
  };
  function identity2(x2) {
    return x2;
  }
  var map = Array.prototype.map;
  var prefixes = ["y", "z", "a", "f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y"];
  function formatLocale(locale2) {
    var group = locale2.grouping === void 0 || locale2.thousands === void 0 ? identity2 : formatGroup(map.call(locale2.grouping, Number), locale2.thousands + ""), currencyPrefix = locale2.currency === void 0 ? "" : locale2.currency[0] + "", currencySuffix = locale2.currency === void 0 ? "" : locale2.currency[1] + "", decimal = locale2.decimal === void 0 ? "." : locale2.decimal + "", numerals = locale2.numerals === void 0 ? identity2 : formatNumerals(map.call(locale2.numerals, String)), percent2 = locale2.percent === void 0 ? "%" : locale2.percent + "", minus = locale2.minus === void 0 ? "−" : locale2.minus + "", nan = locale2.nan === void 0 ? "NaN" : locale2.nan + "";
    function newFormat(specifier, options) {
      specifier = formatSpecifier(specifier);
      var fill = specifier.fill, align = specifier.align, sign2 = specifier.sign, symbol = specifier.symbol, zero3 = specifier.zero, width = specifier.width, comma = specifier.comma, precision = specifier.precision, trim = specifier.trim, type = specifier.type;
      if (type === "n") comma = true, type = "g";
      else if (!formatTypes[type]) precision === void 0 && (precision = 12), trim = true, type = "g";
      if (zero3 || fill === "0" && align === "=") zero3 = true, fill = "0", align = "=";
      var prefix = (options && options.prefix !== void 0 ? options.prefix : "") + (symbol === "$" ? currencyPrefix : symbol === "#" && /[boxX]/.test(type) ? "0" + type.toLowerCase() : ""), suffix = (symbol === "$" ? currencySuffix : /[%p]/.test(type) ? percent2 : "") + (options && options.suffix !== void 0 ? options.suffix : "");
      var formatType = formatTypes[type], maybeSuffix = /[defgprs%]/.test(type);
      precision = precision === void 0 ? 6 : /[gprs]/.test(type) ? Math.max(1, Math.min(21, precision)) : Math.max(0, Math.min(20, precision));
      function format2(value2) {
        var valuePrefix = prefix, valueSuffix = suffix, i, n, c;
        if (type === "c") {
          valueSuffix = formatType(value2) + valueSuffix;
          value2 = "";
        } else {
          value2 = +value2;
          var valueNegative = value2 < 0 || 1 / value2 < 0;
          value2 = isNaN(value2) ? nan : formatType(Math.abs(value2), precision);
          if (trim) value2 = formatTrim(value2);
          if (valueNegative && +value2 === 0 && sign2 !== "+") valueNegative = false;
          valuePrefix = (valueNegative ? sign2 === "(" ? sign2 : minus : sign2 === "-" || sign2 === "(" ? "" : sign2) + valuePrefix;
          valueSuffix = (type === "s" && !isNaN(value2) && prefixExponent !== void 0 ? prefixes[8 + prefixExponent / 3] : "") + valueSuffix + (valueNegative && sign2 === "(" ? ")" : "");
          if (maybeSuffix) {
            i = -1, n = value2.length;
            while (++i < n) {
              if (c = value2.charCodeAt(i), 48 > c || c > 57) {
                valueSuffix = (c === 46 ? decimal + value2.slice(i + 1) : value2.slice(i)) + valueSuffix;
                value2 = value2.slice(0, i);
                break;
              }
            }
          }
        }
        if (comma && !zero3) value2 = group(value2, Infinity);
        var length = valuePrefix.length + value2.length + valueSuffix.length, padding = length < width ? new Array(width - length + 1).join(fill) : "";
        if (comma && zero3) value2 = group(padding + value2, padding.length ? width - valueSuffix.length : Infinity), padding = "";
        switch (align) {
          case "<":
            value2 = valuePrefix + value2 + valueSuffix + padding;
            break;
          case "=":
            value2 = valuePrefix + padding + value2 + valueSuffix;
            break;
          case "^":
            value2 = padding.slice(0, length = padding.length >> 1) + valuePrefix + value2 + valueSuffix + padding.slice(length);
            break;
          default:
            value2 = padding + valuePrefix + value2 + valueSuffix;
            break;
        }
        return numerals(value2);
      }
      format2.toString = function() {
        return specifier + "";
      };
      return format2;
    }
    function formatPrefix2(specifier, value2) {
      var e = Math.max(-8, Math.min(8, Math.floor(exponent(value2) / 3))) * 3, k2 = Math.pow(10, -e), f = newFormat((specifier = formatSpecifier(specifier), specifier.type = "f", specifier), { suffix: prefixes[8 + e / 3] });
      return function(value3) {
        return f(k2 * value3);
      };
    }
    return {
      format: newFormat,
      formatPrefix: formatPrefix2
    };
  }
  var locale;
  var format;
  var formatPrefix;
  defaultLocale({
    thousands: ",",
    grouping: [3],
    currency: ["$", ""]
  });
  function defaultLocale(definition) {
    locale = formatLocale(definition);
    format = locale.format;
    formatPrefix = locale.formatPrefix;
    return locale;
  }
  function precisionFixed(step) {
    return Math.max(0, -exponent(Math.abs(step)));
  }
  function precisionPrefix(step, value2) {
    return Math.max(0, Math.max(-8, Math.min(8, Math.floor(exponent(value2) / 3))) * 3 - exponent(Math.abs(step)));
  }
  function precisionRound(step, max2) {
    step = Math.abs(step), max2 = Math.abs(max2) - step;
    return Math.max(0, exponent(max2) - exponent(step)) + 1;
  }

  // node_modules/d3-scale/dist/d3-scale.mjs
  function initRange(domain, range2) {
    switch (arguments.length) {
      case 0:
        break;
      case 1:
        this.range(domain);
        break;
      default:
        this.range(range2).domain(domain);
        break;
    }
    return this;
  }
  function constants(x2) {
    return function() {
      return x2;
    };
  }
  function number$1(x2) {
    return +x2;
  }
  var unit = [0, 1];
  function identity$1(x2) {
    return x2;
  }
  function normalize(a2, b) {
    return (b -= a2 = +a2) ? function(x2) {
      return (x2 - a2) / b;
    } : constants(isNaN(b) ? NaN : 0.5);
  }
  function clamper(a2, b) {
    var t;
    if (a2 > b) t = a2, a2 = b, b = t;
    return function(x2) {
      return Math.max(a2, Math.min(b, x2));
    };
  }
  function bimap(domain, range2, interpolate) {
    var d0 = domain[0], d1 = domain[1], r0 = range2[0], r1 = range2[1];
    if (d1 < d0) d0 = normalize(d1, d0), r0 = interpolate(r1, r0);
    else d0 = normalize(d0, d1), r0 = interpolate(r0, r1);
    return function(x2) {
      return r0(d0(x2));
    };
  }
  function polymap(domain, range2, interpolate) {
    var j = Math.min(domain.length, range2.length) - 1, d = new Array(j), r = new Array(j), i = -1;
    if (domain[j] < domain[0]) {
      domain = domain.slice().reverse();
      range2 = range2.slice().reverse();
    }
    while (++i < j) {
      d[i] = normalize(domain[i], domain[i + 1]);
      r[i] = interpolate(range2[i], range2[i + 1]);
    }
    return function(x2) {
      var i2 = bisectRight(domain, x2, 1, j) - 1;
      return r[i2](d[i2](x2));
    };
  }
  function copy$1(source, target) {
    return target.domain(source.domain()).range(source.range()).interpolate(source.interpolate()).clamp(source.clamp()).unknown(source.unknown());
  }
  function transformer$2() {
    var domain = unit, range2 = unit, interpolate$1 = value, transform, untransform, unknown, clamp = identity$1, piecewise2, output, input;
    function rescale() {
      var n = Math.min(domain.length, range2.length);
      if (clamp !== identity$1) clamp = clamper(domain[0], domain[n - 1]);
      piecewise2 = n > 2 ? polymap : bimap;
      output = input = null;
      return scale;
    }
    function scale(x2) {
      return x2 == null || isNaN(x2 = +x2) ? unknown : (output || (output = piecewise2(domain.map(transform), range2, interpolate$1)))(transform(clamp(x2)));
    }
    scale.invert = function(y2) {
      return clamp(untransform((input || (input = piecewise2(range2, domain.map(transform), number2)))(y2)));
    };
    scale.domain = function(_) {
      return arguments.length ? (domain = Array.from(_, number$1), rescale()) : domain.slice();
    };
    scale.range = function(_) {
      return arguments.length ? (range2 = Array.from(_), rescale()) : range2.slice();
    };
    scale.rangeRound = function(_) {
      return range2 = Array.from(_), interpolate$1 = round, rescale();
    };
    scale.clamp = function(_) {
      return arguments.length ? (clamp = _ ? true : identity$1, rescale()) : clamp !== identity$1;
    };
    scale.interpolate = function(_) {
      return arguments.length ? (interpolate$1 = _, rescale()) : interpolate$1;
    };
    scale.unknown = function(_) {
      return arguments.length ? (unknown = _, scale) : unknown;
    };
    return function(t, u) {
      transform = t, untransform = u;
      return rescale();
    };
  }
  function continuous() {
    return transformer$2()(identity$1, identity$1);
  }
  function tickFormat(start2, stop, count2, specifier) {
    var step = tickStep(start2, stop, count2), precision;
    specifier = formatSpecifier(specifier == null ? ",f" : specifier);
    switch (specifier.type) {
      case "s": {
        var value2 = Math.max(Math.abs(start2), Math.abs(stop));
        if (specifier.precision == null && !isNaN(precision = precisionPrefix(step, value2))) specifier.precision = precision;
        return formatPrefix(specifier, value2);
      }
      case "":
      case "e":
      case "g":
      case "p":
      case "r": {
        if (specifier.precision == null && !isNaN(precision = precisionRound(step, Math.max(Math.abs(start2), Math.abs(stop))))) specifier.precision = precision - (specifier.type === "e");
        break;
      }
      case "f":
      case "%": {
        if (specifier.precision == null && !isNaN(precision = precisionFixed(step))) specifier.precision = precision - (specifier.type === "%") * 2;
        break;
      }
    }
    return format(specifier);
  }
  function linearish(scale) {
    var domain = scale.domain;
    scale.ticks = function(count2) {
      var d = domain();
      return ticks(d[0], d[d.length - 1], count2 == null ? 10 : count2);
    };
    scale.tickFormat = function(count2, specifier) {
      var d = domain();
      return tickFormat(d[0], d[d.length - 1], count2 == null ? 10 : count2, specifier);
    };
    scale.nice = function(count2) {
      if (count2 == null) count2 = 10;
      var d = domain();
      var i0 = 0;
      var i1 = d.length - 1;
      var start2 = d[i0];
      var stop = d[i1];
      var prestep;
      var step;
      var maxIter = 10;
      if (stop < start2) {
        step = start2, start2 = stop, stop = step;
        step = i0, i0 = i1, i1 = step;
      }
      while (maxIter-- > 0) {
        step = tickIncrement(start2, stop, count2);
        if (step === prestep) {
          d[i0] = start2;
          d[i1] = stop;
          return domain(d);
        } else if (step > 0) {
          start2 = Math.floor(start2 / step) * step;
          stop = Math.ceil(stop / step) * step;
        } else if (step < 0) {
          start2 = Math.ceil(start2 * step) / step;
          stop = Math.floor(stop * step) / step;
        } else {
          break;
        }
        prestep = step;
      }
      return scale;
    };
    return scale;
  }
  function linear2() {
    var scale = continuous();
    scale.copy = function() {
      return copy$1(scale, linear2());
    };
    initRange.apply(scale, arguments);
    return linearish(scale);
  }
  function nice(domain, interval) {
    domain = domain.slice();
    var i0 = 0, i1 = domain.length - 1, x0 = domain[i0], x1 = domain[i1], t;
    if (x1 < x0) {
      t = i0, i0 = i1, i1 = t;
      t = x0, x0 = x1, x1 = t;
    }
    domain[i0] = interval.floor(x0);
    domain[i1] = interval.ceil(x1);
    return domain;
  }
  function transformLog(x2) {
    return Math.log(x2);
  }
  function transformExp(x2) {
    return Math.exp(x2);
  }
  function transformLogn(x2) {
    return -Math.log(-x2);
  }
  function transformExpn(x2) {
    return -Math.exp(-x2);
  }
  function pow10(x2) {
    return isFinite(x2) ? +("1e" + x2) : x2 < 0 ? 0 : x2;
  }
  function powp(base) {
    return base === 10 ? pow10 : base === Math.E ? Math.exp : (x2) => Math.pow(base, x2);
  }
  function logp(base) {
    return base === Math.E ? Math.log : base === 10 && Math.log10 || base === 2 && Math.log2 || (base = Math.log(base), (x2) => Math.log(x2) / base);
  }
  function reflect(f) {
    return (x2, k2) => -f(-x2, k2);
  }
  function loggish(transform) {
    const scale = transform(transformLog, transformExp);
    const domain = scale.domain;
    let base = 10;
    let logs;
    let pows;
    function rescale() {
      logs = logp(base), pows = powp(base);
      if (domain()[0] < 0) {
        logs = reflect(logs), pows = reflect(pows);
        transform(transformLogn, transformExpn);
      } else {
        transform(transformLog, transformExp);
      }
      return scale;
    }
    scale.base = function(_) {
      return arguments.length ? (base = +_, rescale()) : base;
    };
    scale.domain = function(_) {
      return arguments.length ? (domain(_), rescale()) : domain();
    };
    scale.ticks = (count2) => {
      const d = domain();
      let u = d[0];
      let v = d[d.length - 1];
      const r = v < u;
      if (r) [u, v] = [v, u];
      let i = logs(u);
      let j = logs(v);
      let k2;
      let t;
      const n = count2 == null ? 10 : +count2;
      let z = [];
      if (!(base % 1) && j - i < n) {
        i = Math.floor(i), j = Math.ceil(j);
        if (u > 0) for (; i <= j; ++i) {
          for (k2 = 1; k2 < base; ++k2) {
            t = i < 0 ? k2 / pows(-i) : k2 * pows(i);
            if (t < u) continue;
            if (t > v) break;
            z.push(t);
          }
        }
        else for (; i <= j; ++i) {
          for (k2 = base - 1; k2 >= 1; --k2) {
            t = i > 0 ? k2 / pows(-i) : k2 * pows(i);
            if (t < u) continue;
            if (t > v) break;
            z.push(t);
          }
        }
        if (z.length * 2 < n) z = ticks(u, v, n);
      } else {
        z = ticks(i, j, Math.min(j - i, n)).map(pows);
      }
      return r ? z.reverse() : z;
    };
    scale.tickFormat = (count2, specifier) => {
      if (count2 == null) count2 = 10;
      if (specifier == null) specifier = base === 10 ? "s" : ",";
      if (typeof specifier !== "function") {
        if (!(base % 1) && (specifier = formatSpecifier(specifier)).precision == null) specifier.trim = true;
        specifier = format(specifier);
      }
      if (count2 === Infinity) return specifier;
      const k2 = Math.max(1, base * count2 / scale.ticks().length);
      return (d) => {
        let i = d / pows(Math.round(logs(d)));
        if (i * base < base - 0.5) i *= base;
        return i <= k2 ? specifier(d) : "";
      };
    };
    scale.nice = () => {
      return domain(nice(domain(), {
        floor: (x2) => pows(Math.floor(logs(x2))),
        ceil: (x2) => pows(Math.ceil(logs(x2)))
      }));
    };
    return scale;
  }
  function log() {
    const scale = loggish(transformer$2()).domain([1, 10]);
    scale.copy = () => copy$1(scale, log()).base(scale.base());
    initRange.apply(scale, arguments);
    return scale;
  }

  // node_modules/d3-axis/dist/d3-axis.mjs
  function identity3(x2) {
    return x2;
  }
  var top = 1;
  var right = 2;
  var bottom = 3;
  var left = 4;
  var epsilon = 1e-6;
  function translateX(x2) {
    return "translate(" + x2 + ",0)";
  }
  function translateY(y2) {
    return "translate(0," + y2 + ")";
  }
  function number3(scale) {
    return (d) => +scale(d);
  }
  function center(scale, offset) {
    offset = Math.max(0, scale.bandwidth() - offset * 2) / 2;
    if (scale.round()) offset = Math.round(offset);
    return (d) => +scale(d) + offset;
  }
  function entering() {
    return !this.__axis;
  }
  function axis(orient, scale) {
    var tickArguments = [], tickValues = null, tickFormat2 = null, tickSizeInner = 6, tickSizeOuter = 6, tickPadding = 3, offset = typeof window !== "undefined" && window.devicePixelRatio > 1 ? 0 : 0.5, k2 = orient === top || orient === left ? -1 : 1, x2 = orient === left || orient === right ? "x" : "y", transform = orient === top || orient === bottom ? translateX : translateY;
    function axis2(context) {
      var values = tickValues == null ? scale.ticks ? scale.ticks.apply(scale, tickArguments) : scale.domain() : tickValues, format2 = tickFormat2 == null ? scale.tickFormat ? scale.tickFormat.apply(scale, tickArguments) : identity3 : tickFormat2, spacing = Math.max(tickSizeInner, 0) + tickPadding, range2 = scale.range(), range0 = +range2[0] + offset, range1 = +range2[range2.length - 1] + offset, position = (scale.bandwidth ? center : number3)(scale.copy(), offset), selection2 = context.selection ? context.selection() : context, path2 = selection2.selectAll(".domain").data([null]), tick = selection2.selectAll(".tick").data(values, scale).order(), tickExit = tick.exit(), tickEnter = tick.enter().append("g").attr("class", "tick"), line2 = tick.select("line"), text = tick.select("text");
      path2 = path2.merge(path2.enter().insert("path", ".tick").attr("class", "domain").attr("stroke", "currentColor"));
      tick = tick.merge(tickEnter);
      line2 = line2.merge(tickEnter.append("line").attr("stroke", "currentColor").attr(x2 + "2", k2 * tickSizeInner));
      text = text.merge(tickEnter.append("text").attr("fill", "currentColor").attr(x2, k2 * spacing).attr("dy", orient === top ? "0em" : orient === bottom ? "0.71em" : "0.32em"));
      if (context !== selection2) {
        path2 = path2.transition(context);
        tick = tick.transition(context);
        line2 = line2.transition(context);
        text = text.transition(context);
        tickExit = tickExit.transition(context).attr("opacity", epsilon).attr("transform", function(d) {
          return isFinite(d = position(d)) ? transform(d + offset) : this.getAttribute("transform");
        });
        tickEnter.attr("opacity", epsilon).attr("transform", function(d) {
          var p = this.parentNode.__axis;
          return transform((p && isFinite(p = p(d)) ? p : position(d)) + offset);
        });
      }
      tickExit.remove();
      path2.attr("d", orient === left || orient === right ? tickSizeOuter ? "M" + k2 * tickSizeOuter + "," + range0 + "H" + offset + "V" + range1 + "H" + k2 * tickSizeOuter : "M" + offset + "," + range0 + "V" + range1 : tickSizeOuter ? "M" + range0 + "," + k2 * tickSizeOuter + "V" + offset + "H" + range1 + "V" + k2 * tickSizeOuter : "M" + range0 + "," + offset + "H" + range1);
      tick.attr("opacity", 1).attr("transform", function(d) {
        return transform(position(d) + offset);
      });
      line2.attr(x2 + "2", k2 * tickSizeInner);
      text.attr(x2, k2 * spacing).text(format2);
      selection2.filter(entering).attr("fill", "none").attr("font-size", 10).attr("font-family", "sans-serif").attr("text-anchor", orient === right ? "start" : orient === left ? "end" : "middle");
      selection2.each(function() {
        this.__axis = position;
      });
    }
    axis2.scale = function(_) {
      return arguments.length ? (scale = _, axis2) : scale;
    };
    axis2.ticks = function() {
      return tickArguments = Array.from(arguments), axis2;
    };
    axis2.tickArguments = function(_) {
      return arguments.length ? (tickArguments = _ == null ? [] : Array.from(_), axis2) : tickArguments.slice();
    };
    axis2.tickValues = function(_) {
      return arguments.length ? (tickValues = _ == null ? null : Array.from(_), axis2) : tickValues && tickValues.slice();
    };
    axis2.tickFormat = function(_) {
      return arguments.length ? (tickFormat2 = _, axis2) : tickFormat2;
    };
    axis2.tickSize = function(_) {
      return arguments.length ? (tickSizeInner = tickSizeOuter = +_, axis2) : tickSizeInner;
    };
    axis2.tickSizeInner = function(_) {
      return arguments.length ? (tickSizeInner = +_, axis2) : tickSizeInner;
    };
    axis2.tickSizeOuter = function(_) {
      return arguments.length ? (tickSizeOuter = +_, axis2) : tickSizeOuter;
    };
    axis2.tickPadding = function(_) {
      return arguments.length ? (tickPadding = +_, axis2) : tickPadding;
    };
    axis2.offset = function(_) {
      return arguments.length ? (offset = +_, axis2) : offset;
    };
    return axis2;
  }
  function axisTop(scale) {
    return axis(top, scale);
  }
  function axisBottom(scale) {
    return axis(bottom, scale);
  }
  function axisLeft(scale) {
    return axis(left, scale);
  }

  // node_modules/d3-selection/dist/d3-selection.mjs
  var xhtml = "http://www.w3.org/1999/xhtml";
  var namespaces = {
    svg: "http://www.w3.org/2000/svg",
    xhtml,
    xlink: "http://www.w3.org/1999/xlink",
    xml: "http://www.w3.org/XML/1998/namespace",
    xmlns: "http://www.w3.org/2000/xmlns/"
  };
  function namespace(name) {
    var prefix = name += "", i = prefix.indexOf(":");
    if (i >= 0 && (prefix = name.slice(0, i)) !== "xmlns") name = name.slice(i + 1);
    return namespaces.hasOwnProperty(prefix) ? { space: namespaces[prefix], local: name } : name;
  }
  function creatorInherit(name) {
    return function() {
      var document2 = this.ownerDocument, uri = this.namespaceURI;
      return uri === xhtml && document2.documentElement.namespaceURI === xhtml ? document2.createElement(name) : document2.createElementNS(uri, name);
    };
  }
  function creatorFixed(fullname) {
    return function() {
      return this.ownerDocument.createElementNS(fullname.space, fullname.local);
    };
  }
  function creator(name) {
    var fullname = namespace(name);
    return (fullname.local ? creatorFixed : creatorInherit)(fullname);
  }
  function none() {
  }
  function selector(selector2) {
    return selector2 == null ? none : function() {
      return this.querySelector(selector2);
    };
  }
  function selection_select(select2) {
    if (typeof select2 !== "function") select2 = selector(select2);
    for (var groups = this._groups, m = groups.length, subgroups = new Array(m), j = 0; j < m; ++j) {
      for (var group = groups[j], n = group.length, subgroup = subgroups[j] = new Array(n), node, subnode, i = 0; i < n; ++i) {
        if ((node = group[i]) && (subnode = select2.call(node, node.__data__, i, group))) {
          if ("__data__" in node) subnode.__data__ = node.__data__;
          subgroup[i] = subnode;
        }
      }
    }
    return new Selection(subgroups, this._parents);
  }
  function array2(x2) {
    return x2 == null ? [] : Array.isArray(x2) ? x2 : Array.from(x2);
  }
  function empty() {
    return [];
  }
  function selectorAll(selector2) {
    return selector2 == null ? empty : function() {
      return this.querySelectorAll(selector2);
    };
  }
  function arrayAll(select2) {
    return function() {
      return array2(select2.apply(this, arguments));
    };
  }
  function selection_selectAll(select2) {
    if (typeof select2 === "function") select2 = arrayAll(select2);
    else select2 = selectorAll(select2);
    for (var groups = this._groups, m = groups.length, subgroups = [], parents = [], j = 0; j < m; ++j) {
      for (var group = groups[j], n = group.length, node, i = 0; i < n; ++i) {
        if (node = group[i]) {
          subgroups.push(select2.call(node, node.__data__, i, group));
          parents.push(node);
        }
      }
    }
    return new Selection(subgroups, parents);
  }
  function matcher(selector2) {
    return function() {
      return this.matches(selector2);
    };
  }
  function childMatcher(selector2) {
    return function(node) {
      return node.matches(selector2);
    };
  }
  var find = Array.prototype.find;
  function childFind(match) {
    return function() {
      return find.call(this.children, match);
    };
  }
  function childFirst() {
    return this.firstElementChild;
  }
  function selection_selectChild(match) {
    return this.select(match == null ? childFirst : childFind(typeof match === "function" ? match : childMatcher(match)));
  }
  var filter = Array.prototype.filter;
  function children() {
    return Array.from(this.children);
  }
  function childrenFilter(match) {
    return function() {
      return filter.call(this.children, match);
    };
  }
  function selection_selectChildren(match) {
    return this.selectAll(match == null ? children : childrenFilter(typeof match === "function" ? match : childMatcher(match)));
  }
  function selection_filter(match) {
    if (typeof match !== "function") match = matcher(match);
    for (var groups = this._groups, m = groups.length, subgroups = new Array(m), j = 0; j < m; ++j) {
      for (var group = groups[j], n = group.length, subgroup = subgroups[j] = [], node, i = 0; i < n; ++i) {
        if ((node = group[i]) && match.call(node, node.__data__, i, group)) {
          subgroup.push(node);
        }
      }
    }
    return new Selection(subgroups, this._parents);
  }
  function sparse(update) {
    return new Array(update.length);
  }
  function selection_enter() {
    return new Selection(this._enter || this._groups.map(sparse), this._parents);
  }
  function EnterNode(parent, datum2) {
    this.ownerDocument = parent.ownerDocument;
    this.namespaceURI = parent.namespaceURI;
    this._next = null;
    this._parent = parent;
    this.__data__ = datum2;
  }
  EnterNode.prototype = {
    constructor: EnterNode,
    appendChild: function(child) {
      return this._parent.insertBefore(child, this._next);
    },
    insertBefore: function(child, next) {
      return this._parent.insertBefore(child, next);
    },
    querySelector: function(selector2) {
      return this._parent.querySelector(selector2);
    },
    querySelectorAll: function(selector2) {
      return this._parent.querySelectorAll(selector2);
    }
  };
  function constant2(x2) {
    return function() {
      return x2;
    };
  }
  function bindIndex(parent, group, enter, update, exit, data) {
    var i = 0, node, groupLength = group.length, dataLength = data.length;
    for (; i < dataLength; ++i) {
      if (node = group[i]) {
        node.__data__ = data[i];
        update[i] = node;
      } else {
        enter[i] = new EnterNode(parent, data[i]);
      }
    }
    for (; i < groupLength; ++i) {
      if (node = group[i]) {
        exit[i] = node;
      }
    }
  }
  function bindKey(parent, group, enter, update, exit, data, key) {
    var i, node, nodeByKeyValue = /* @__PURE__ */ new Map(), groupLength = group.length, dataLength = data.length, keyValues = new Array(groupLength), keyValue;
    for (i = 0; i < groupLength; ++i) {
      if (node = group[i]) {
        keyValues[i] = keyValue = key.call(node, node.__data__, i, group) + "";
        if (nodeByKeyValue.has(keyValue)) {
          exit[i] = node;
        } else {
          nodeByKeyValue.set(keyValue, node);
        }
      }
    }
    for (i = 0; i < dataLength; ++i) {
      keyValue = key.call(parent, data[i], i, data) + "";
      if (node = nodeByKeyValue.get(keyValue)) {
        update[i] = node;
        node.__data__ = data[i];
        nodeByKeyValue.delete(keyValue);
      } else {
        enter[i] = new EnterNode(parent, data[i]);
      }
    }
    for (i = 0; i < groupLength; ++i) {
      if ((node = group[i]) && nodeByKeyValue.get(keyValues[i]) === node) {
        exit[i] = node;
      }
    }
  }
  function datum(node) {
    return node.__data__;
  }
  function selection_data(value2, key) {
    if (!arguments.length) return Array.from(this, datum);
    var bind = key ? bindKey : bindIndex, parents = this._parents, groups = this._groups;
    if (typeof value2 !== "function") value2 = constant2(value2);
    for (var m = groups.length, update = new Array(m), enter = new Array(m), exit = new Array(m), j = 0; j < m; ++j) {
      var parent = parents[j], group = groups[j], groupLength = group.length, data = arraylike(value2.call(parent, parent && parent.__data__, j, parents)), dataLength = data.length, enterGroup = enter[j] = new Array(dataLength), updateGroup = update[j] = new Array(dataLength), exitGroup = exit[j] = new Array(groupLength);
      bind(parent, group, enterGroup, updateGroup, exitGroup, data, key);
      for (var i0 = 0, i1 = 0, previous, next; i0 < dataLength; ++i0) {
        if (previous = enterGroup[i0]) {
          if (i0 >= i1) i1 = i0 + 1;
          while (!(next = updateGroup[i1]) && ++i1 < dataLength) ;
          previous._next = next || null;
        }
      }
    }
    update = new Selection(update, parents);
    update._enter = enter;
    update._exit = exit;
    return update;
  }
  function arraylike(data) {
    return typeof data === "object" && "length" in data ? data : Array.from(data);
  }
  function selection_exit() {
    return new Selection(this._exit || this._groups.map(sparse), this._parents);
  }
  function selection_join(onenter, onupdate, onexit) {
    var enter = this.enter(), update = this, exit = this.exit();
    if (typeof onenter === "function") {
      enter = onenter(enter);
      if (enter) enter = enter.selection();
    } else {
      enter = enter.append(onenter + "");
    }
    if (onupdate != null) {
      update = onupdate(update);
      if (update) update = update.selection();
    }
    if (onexit == null) exit.remove();
    else onexit(exit);
    return enter && update ? enter.merge(update).order() : update;
  }
  function selection_merge(context) {
    var selection2 = context.selection ? context.selection() : context;
    for (var groups0 = this._groups, groups1 = selection2._groups, m0 = groups0.length, m1 = groups1.length, m = Math.min(m0, m1), merges = new Array(m0), j = 0; j < m; ++j) {
      for (var group0 = groups0[j], group1 = groups1[j], n = group0.length, merge = merges[j] = new Array(n), node, i = 0; i < n; ++i) {
        if (node = group0[i] || group1[i]) {
          merge[i] = node;
        }
      }
    }
    for (; j < m0; ++j) {
      merges[j] = groups0[j];
    }
    return new Selection(merges, this._parents);
  }
  function selection_order() {
    for (var groups = this._groups, j = -1, m = groups.length; ++j < m; ) {
      for (var group = groups[j], i = group.length - 1, next = group[i], node; --i >= 0; ) {
        if (node = group[i]) {
          if (next && node.compareDocumentPosition(next) ^ 4) next.parentNode.insertBefore(node, next);
          next = node;
        }
      }
    }
    return this;
  }
  function selection_sort(compare) {
    if (!compare) compare = ascending2;
    function compareNode(a2, b) {
      return a2 && b ? compare(a2.__data__, b.__data__) : !a2 - !b;
    }
    for (var groups = this._groups, m = groups.length, sortgroups = new Array(m), j = 0; j < m; ++j) {
      for (var group = groups[j], n = group.length, sortgroup = sortgroups[j] = new Array(n), node, i = 0; i < n; ++i) {
        if (node = group[i]) {
          sortgroup[i] = node;
        }
      }
      sortgroup.sort(compareNode);
    }
    return new Selection(sortgroups, this._parents).order();
  }
  function ascending2(a2, b) {
    return a2 < b ? -1 : a2 > b ? 1 : a2 >= b ? 0 : NaN;
  }
  function selection_call() {
    var callback = arguments[0];
    arguments[0] = this;
    callback.apply(null, arguments);
    return this;
  }
  function selection_nodes() {
    return Array.from(this);
  }
  function selection_node() {
    for (var groups = this._groups, j = 0, m = groups.length; j < m; ++j) {
      for (var group = groups[j], i = 0, n = group.length; i < n; ++i) {
        var node = group[i];
        if (node) return node;
      }
    }
    return null;
  }
  function selection_size() {
    let size = 0;
    for (const node of this) ++size;
    return size;
  }
  function selection_empty() {
    return !this.node();
  }
  function selection_each(callback) {
    for (var groups = this._groups, j = 0, m = groups.length; j < m; ++j) {
      for (var group = groups[j], i = 0, n = group.length, node; i < n; ++i) {
        if (node = group[i]) callback.call(node, node.__data__, i, group);
      }
    }
    return this;
  }
  function attrRemove(name) {
    return function() {
      this.removeAttribute(name);
    };
  }
  function attrRemoveNS(fullname) {
    return function() {
      this.removeAttributeNS(fullname.space, fullname.local);
    };
  }
  function attrConstant(name, value2) {
    return function() {
      this.setAttribute(name, value2);
    };
  }
  function attrConstantNS(fullname, value2) {
    return function() {
      this.setAttributeNS(fullname.space, fullname.local, value2);
    };
  }
  function attrFunction(name, value2) {
    return function() {
      var v = value2.apply(this, arguments);
      if (v == null) this.removeAttribute(name);
      else this.setAttribute(name, v);
    };
  }
  function attrFunctionNS(fullname, value2) {
    return function() {
      var v = value2.apply(this, arguments);
      if (v == null) this.removeAttributeNS(fullname.space, fullname.local);
      else this.setAttributeNS(fullname.space, fullname.local, v);
    };
  }
  function selection_attr(name, value2) {
    var fullname = namespace(name);
    if (arguments.length < 2) {
      var node = this.node();
      return fullname.local ? node.getAttributeNS(fullname.space, fullname.local) : node.getAttribute(fullname);
    }
    return this.each((value2 == null ? fullname.local ? attrRemoveNS : attrRemove : typeof value2 === "function" ? fullname.local ? attrFunctionNS : attrFunction : fullname.local ? attrConstantNS : attrConstant)(fullname, value2));
  }
  function defaultView(node) {
    return node.ownerDocument && node.ownerDocument.defaultView || node.document && node || node.defaultView;
  }
  function styleRemove(name) {
    return function() {
      this.style.removeProperty(name);
    };
  }
  function styleConstant(name, value2, priority) {
    return function() {
      this.style.setProperty(name, value2, priority);
    };
  }
  function styleFunction(name, value2, priority) {
    return function() {
      var v = value2.apply(this, arguments);
      if (v == null) this.style.removeProperty(name);
      else this.style.setProperty(name, v, priority);
    };
  }
  function selection_style(name, value2, priority) {
    return arguments.length > 1 ? this.each((value2 == null ? styleRemove : typeof value2 === "function" ? styleFunction : styleConstant)(name, value2, priority == null ? "" : priority)) : styleValue(this.node(), name);
  }
  function styleValue(node, name) {
    return node.style.getPropertyValue(name) || defaultView(node).getComputedStyle(node, null).getPropertyValue(name);
  }
  function propertyRemove(name) {
    return function() {
      delete this[name];
    };
  }
  function propertyConstant(name, value2) {
    return function() {
      this[name] = value2;
    };
  }
  function propertyFunction(name, value2) {
    return function() {
      var v = value2.apply(this, arguments);
      if (v == null) delete this[name];
      else this[name] = v;
    };
  }
  function selection_property(name, value2) {
    return arguments.length > 1 ? this.each((value2 == null ? propertyRemove : typeof value2 === "function" ? propertyFunction : propertyConstant)(name, value2)) : this.node()[name];
  }
  function classArray(string2) {
    return string2.trim().split(/^|\s+/);
  }
  function classList(node) {
    return node.classList || new ClassList(node);
  }
  function ClassList(node) {
    this._node = node;
    this._names = classArray(node.getAttribute("class") || "");
  }
  ClassList.prototype = {
    add: function(name) {
      var i = this._names.indexOf(name);
      if (i < 0) {
        this._names.push(name);
        this._node.setAttribute("class", this._names.join(" "));
      }
    },
    remove: function(name) {
      var i = this._names.indexOf(name);
      if (i >= 0) {
        this._names.splice(i, 1);
        this._node.setAttribute("class", this._names.join(" "));
      }
    },
    contains: function(name) {
      return this._names.indexOf(name) >= 0;
    }
  };
  function classedAdd(node, names) {
    var list = classList(node), i = -1, n = names.length;
    while (++i < n) list.add(names[i]);
  }
  function classedRemove(node, names) {
    var list = classList(node), i = -1, n = names.length;
    while (++i < n) list.remove(names[i]);
  }
  function classedTrue(names) {
    return function() {
      classedAdd(this, names);
    };
  }
  function classedFalse(names) {
    return function() {
      classedRemove(this, names);
    };
  }
  function classedFunction(names, value2) {
    return function() {
      (value2.apply(this, arguments) ? classedAdd : classedRemove)(this, names);
    };
  }
  function selection_classed(name, value2) {
    var names = classArray(name + "");
    if (arguments.length < 2) {
      var list = classList(this.node()), i = -1, n = names.length;
      while (++i < n) if (!list.contains(names[i])) return false;
      return true;
    }
    return this.each((typeof value2 === "function" ? classedFunction : value2 ? classedTrue : classedFalse)(names, value2));
  }
  function textRemove() {
    this.textContent = "";
  }
  function textConstant(value2) {
    return function() {
      this.textContent = value2;
    };
  }
  function textFunction(value2) {
    return function() {
      var v = value2.apply(this, arguments);
      this.textContent = v == null ? "" : v;
    };
  }
  function selection_text(value2) {
    return arguments.length ? this.each(value2 == null ? textRemove : (typeof value2 === "function" ? textFunction : textConstant)(value2)) : this.node().textContent;
  }
  function htmlRemove() {
    this.innerHTML = "";
  }
  function htmlConstant(value2) {
    return function() {
      this.innerHTML = value2;
    };
  }
  function htmlFunction(value2) {
    return function() {
      var v = value2.apply(this, arguments);
      this.innerHTML = v == null ? "" : v;
    };
  }
  function selection_html(value2) {
    return arguments.length ? this.each(value2 == null ? htmlRemove : (typeof value2 === "function" ? htmlFunction : htmlConstant)(value2)) : this.node().innerHTML;
  }
  function raise() {
    if (this.nextSibling) this.parentNode.appendChild(this);
  }
  function selection_raise() {
    return this.each(raise);
  }
  function lower() {
    if (this.previousSibling) this.parentNode.insertBefore(this, this.parentNode.firstChild);
  }
  function selection_lower() {
    return this.each(lower);
  }
  function selection_append(name) {
    var create = typeof name === "function" ? name : creator(name);
    return this.select(function() {
      return this.appendChild(create.apply(this, arguments));
    });
  }
  function constantNull() {
    return null;
  }
  function selection_insert(name, before) {
    var create = typeof name === "function" ? name : creator(name), select2 = before == null ? constantNull : typeof before === "function" ? before : selector(before);
    return this.select(function() {
      return this.insertBefore(create.apply(this, arguments), select2.apply(this, arguments) || null);
    });
  }
  function remove() {
    var parent = this.parentNode;
    if (parent) parent.removeChild(this);
  }
  function selection_remove() {
    return this.each(remove);
  }
  function selection_cloneShallow() {
    var clone = this.cloneNode(false), parent = this.parentNode;
    return parent ? parent.insertBefore(clone, this.nextSibling) : clone;
  }
  function selection_cloneDeep() {
    var clone = this.cloneNode(true), parent = this.parentNode;
    return parent ? parent.insertBefore(clone, this.nextSibling) : clone;
  }
  function selection_clone(deep) {
    return this.select(deep ? selection_cloneDeep : selection_cloneShallow);
  }
  function selection_datum(value2) {
    return arguments.length ? this.property("__data__", value2) : this.node().__data__;
  }
  function contextListener(listener) {
    return function(event) {
      listener.call(this, event, this.__data__);
    };
  }
  function parseTypenames(typenames) {
    return typenames.trim().split(/^|\s+/).map(function(t) {
      var name = "", i = t.indexOf(".");
      if (i >= 0) name = t.slice(i + 1), t = t.slice(0, i);
      return { type: t, name };
    });
  }
  function onRemove(typename) {
    return function() {
      var on = this.__on;
      if (!on) return;
      for (var j = 0, i = -1, m = on.length, o; j < m; ++j) {
        if (o = on[j], (!typename.type || o.type === typename.type) && o.name === typename.name) {
          this.removeEventListener(o.type, o.listener, o.options);
        } else {
          on[++i] = o;
        }
      }
      if (++i) on.length = i;
      else delete this.__on;
    };
  }
  function onAdd(typename, value2, options) {
    return function() {
      var on = this.__on, o, listener = contextListener(value2);
      if (on) for (var j = 0, m = on.length; j < m; ++j) {
        if ((o = on[j]).type === typename.type && o.name === typename.name) {
          this.removeEventListener(o.type, o.listener, o.options);
          this.addEventListener(o.type, o.listener = listener, o.options = options);
          o.value = value2;
          return;
        }
      }
      this.addEventListener(typename.type, listener, options);
      o = { type: typename.type, name: typename.name, value: value2, listener, options };
      if (!on) this.__on = [o];
      else on.push(o);
    };
  }
  function selection_on(typename, value2, options) {
    var typenames = parseTypenames(typename + ""), i, n = typenames.length, t;
    if (arguments.length < 2) {
      var on = this.node().__on;
      if (on) for (var j = 0, m = on.length, o; j < m; ++j) {
        for (i = 0, o = on[j]; i < n; ++i) {
          if ((t = typenames[i]).type === o.type && t.name === o.name) {
            return o.value;
          }
        }
      }
      return;
    }
    on = value2 ? onAdd : onRemove;
    for (i = 0; i < n; ++i) this.each(on(typenames[i], value2, options));
    return this;
  }
  function dispatchEvent(node, type, params) {
    var window2 = defaultView(node), event = window2.CustomEvent;
    if (typeof event === "function") {
      event = new event(type, params);
    } else {
      event = window2.document.createEvent("Event");
      if (params) event.initEvent(type, params.bubbles, params.cancelable), event.detail = params.detail;
      else event.initEvent(type, false, false);
    }
    node.dispatchEvent(event);
  }
  function dispatchConstant(type, params) {
    return function() {
      return dispatchEvent(this, type, params);
    };
  }
  function dispatchFunction(type, params) {
    return function() {
      return dispatchEvent(this, type, params.apply(this, arguments));
    };
  }
  function selection_dispatch(type, params) {
    return this.each((typeof params === "function" ? dispatchFunction : dispatchConstant)(type, params));
  }
  function* selection_iterator() {
    for (var groups = this._groups, j = 0, m = groups.length; j < m; ++j) {
      for (var group = groups[j], i = 0, n = group.length, node; i < n; ++i) {
        if (node = group[i]) yield node;
      }
    }
  }
  var root = [null];
  function Selection(groups, parents) {
    this._groups = groups;
    this._parents = parents;
  }
  function selection() {
    return new Selection([[document.documentElement]], root);
  }
  function selection_selection() {
    return this;
  }
  Selection.prototype = selection.prototype = {
    constructor: Selection,
    select: selection_select,
    selectAll: selection_selectAll,
    selectChild: selection_selectChild,
    selectChildren: selection_selectChildren,
    filter: selection_filter,
    data: selection_data,
    enter: selection_enter,
    exit: selection_exit,
    join: selection_join,
    merge: selection_merge,
    selection: selection_selection,
    order: selection_order,
    sort: selection_sort,
    call: selection_call,
    nodes: selection_nodes,
    node: selection_node,
    size: selection_size,
    empty: selection_empty,
    each: selection_each,
    attr: selection_attr,
    style: selection_style,
    property: selection_property,
    classed: selection_classed,
    text: selection_text,
    html: selection_html,
    raise: selection_raise,
    lower: selection_lower,
    append: selection_append,
    insert: selection_insert,
    remove: selection_remove,
    clone: selection_clone,
    datum: selection_datum,
    on: selection_on,
    dispatch: selection_dispatch,
    [Symbol.iterator]: selection_iterator
  };
  function select(selector2) {
    return typeof selector2 === "string" ? new Selection([[document.querySelector(selector2)]], [document.documentElement]) : new Selection([[selector2]], root);
  }
  var nextId = 0;
  function local() {
    return new Local();
  }
  function Local() {
    this._ = "@" + (++nextId).toString(36);
  }
  Local.prototype = local.prototype = {
    constructor: Local,
    get: function(node) {
      var id = this._;
      while (!(id in node)) if (!(node = node.parentNode)) return;
      return node[id];
    },
    set: function(node, value2) {
      return node[this._] = value2;
    },
    remove: function(node) {
      return this._ in node && delete node[this._];
    },
    toString: function() {
      return this._;
    }
  };

  // node_modules/d3-path/dist/d3-path.mjs
  var pi = Math.PI;
  var tau = 2 * pi;
  var epsilon3 = 1e-6;
  var tauEpsilon = tau - epsilon3;
  function append(strings) {
    this._ += strings[0];
    for (let i = 1, n = strings.length; i < n; ++i) {
      this._ += arguments[i] + strings[i];
    }
  }
  function appendRound(digits) {
    let d = Math.floor(digits);
    if (!(d >= 0)) throw new Error(`invalid digits: ${digits}`);
    if (d > 15) return append;
    const k2 = 10 ** d;
    return function(strings) {
      this._ += strings[0];
      for (let i = 1, n = strings.length; i < n; ++i) {
        this._ += Math.round(arguments[i] * k2) / k2 + strings[i];
      }
    };
  }
  function equal(x0, y0, x1, y1) {
    return x0 === x1 && y0 === y1;
  }
  function equalRound(digits) {
    const d = Math.floor(digits);
    if (!(d <= 15)) return equal;
    const k2 = 10 ** d;
    const r = function(value2) {
      return Math.round(value2 * k2);
    };
    return function(x0, y0, x1, y1) {
      return r(x0) === r(x1) && r(y0) === r(y1);
    };
  }
  var Path = class {
    constructor(digits) {
      this._x0 = this._y0 = // start of current subpath
      this._x1 = this._y1 = null;
      this._ = "";
      this._append = digits == null ? append : appendRound(digits);
      this._equal = digits == null ? equal : equalRound(digits);
    }
    moveTo(x2, y2) {
      this._append`M${this._x0 = this._x1 = +x2},${this._y0 = this._y1 = +y2}`;
    }
    closePath() {
      if (this._x1 !== null) {
        this._x1 = this._x0, this._y1 = this._y0;
        this._append`Z`;
      }
    }
    lineTo(x2, y2) {
      this._append`L${this._x1 = +x2},${this._y1 = +y2}`;
    }
    quadraticCurveTo(x1, y1, x2, y2) {
      this._append`Q${+x1},${+y1},${this._x1 = +x2},${this._y1 = +y2}`;
    }
    bezierCurveTo(x1, y1, x2, y2, x3, y3) {
      this._append`C${+x1},${+y1},${+x2},${+y2},${this._x1 = +x3},${this._y1 = +y3}`;
    }
    arcTo(x1, y1, x2, y2, r) {
      x1 = +x1, y1 = +y1, x2 = +x2, y2 = +y2, r = +r;
      if (r < 0) throw new Error(`negative radius: ${r}`);
      let x0 = this._x1, y0 = this._y1, x21 = x2 - x1, y21 = y2 - y1, x01 = x0 - x1, y01 = y0 - y1, l01_2 = x01 * x01 + y01 * y01;
      if (this._x1 === null) {
        this._append`M${this._x1 = x1},${this._y1 = y1}`;
      } else if (!(l01_2 > epsilon3)) ;
      else if (!(Math.abs(y01 * x21 - y21 * x01) > epsilon3) || !r) {
        this._append`L${this._x1 = x1},${this._y1 = y1}`;
      } else {
        let x20 = x2 - x0, y20 = y2 - y0, l21_2 = x21 * x21 + y21 * y21, l20_2 = x20 * x20 + y20 * y20, l21 = Math.sqrt(l21_2), l01 = Math.sqrt(l01_2), l = r * Math.tan((pi - Math.acos((l21_2 + l01_2 - l20_2) / (2 * l21 * l01))) / 2), t01 = l / l01, t21 = l / l21;
        if (Math.abs(t01 - 1) > epsilon3) {
          this._append`L${x1 + t01 * x01},${y1 + t01 * y01}`;
        }
        this._append`A${r},${r},0,0,${+(y01 * x20 > x01 * y20)},${this._x1 = x1 + t21 * x21},${this._y1 = y1 + t21 * y21}`;
      }
    }
    arc(x2, y2, r, a0, a1, ccw) {
      x2 = +x2, y2 = +y2, r = +r, ccw = !!ccw;
      if (r < 0) throw new Error(`negative radius: ${r}`);
      let dx = r * Math.cos(a0), dy = r * Math.sin(a0), x0 = x2 + dx, y0 = y2 + dy, cw = 1 ^ ccw, da = ccw ? a0 - a1 : a1 - a0;
      if (this._x1 === null) {
        this._append`M${x0},${y0}`;
      } else if (Math.abs(this._x1 - x0) > epsilon3 || Math.abs(this._y1 - y0) > epsilon3) {
        this._append`L${x0},${y0}`;
      }
      if (!r) return;
      if (da < 0) da = da % tau + tau;
      if (da > tauEpsilon) {
        this._append`A${r},${r},0,1,${cw},${x2 - dx},${y2 - dy}A${r},${r},0,1,${cw},${this._x1 = x0},${this._y1 = y0}`;
      } else if (da > epsilon3) {
        const x1 = x2 + r * Math.cos(a1);
        const y1 = y2 + r * Math.sin(a1);
        if (da >= pi && this._equal(x0, y0, x1, y1)) {
          da /= 2;
          let a00 = a0 + da;
          this._append`A${r},${r},0,${+(da >= pi)},${cw},${x2 + r * Math.cos(a00)},${y2 + r * Math.sin(a00)}`;
        }
        this._append`A${r},${r},0,${+(da >= pi)},${cw},${this._x1 = x1},${this._y1 = y1}`;
      }
    }
    rect(x2, y2, w, h) {
      this._append`M${this._x0 = this._x1 = +x2},${this._y0 = this._y1 = +y2}h${w = +w}v${+h}h${-w}Z`;
    }
    toString() {
      return this._;
    }
  };
  function path() {
    return new Path();
  }
  path.prototype = Path.prototype;

  // node_modules/d3-shape/dist/d3-shape.mjs
  function constant3(x2) {
    return function constant4() {
      return x2;
    };
  }
  var cos = Math.cos;
  var sin = Math.sin;
  var sqrt = Math.sqrt;
  var epsilon4 = 1e-12;
  var pi2 = Math.PI;
  var halfPi = pi2 / 2;
  var tau2 = 2 * pi2;
  function withPath(shape) {
    let digits = 3;
    shape.digits = function(_) {
      if (!arguments.length) return digits;
      if (_ == null) {
        digits = null;
      } else {
        const d = Math.floor(_);
        if (!(d >= 0)) throw new RangeError(`invalid digits: ${_}`);
        digits = d;
      }
      return shape;
    };
    return () => new Path(digits);
  }
  var slice2 = Array.prototype.slice;
  function array3(x2) {
    return typeof x2 === "object" && "length" in x2 ? x2 : Array.from(x2);
  }
  function Linear(context) {
    this._context = context;
  }
  Linear.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._point = 0;
    },
    lineEnd: function() {
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
        // falls through
        default:
          this._context.lineTo(x2, y2);
          break;
      }
    }
  };
  function curveLinear(context) {
    return new Linear(context);
  }
  function x(p) {
    return p[0];
  }
  function y(p) {
    return p[1];
  }
  function line(x$1, y$1) {
    var defined = constant3(true), context = null, curve = curveLinear, output = null, path2 = withPath(line2);
    x$1 = typeof x$1 === "function" ? x$1 : x$1 === void 0 ? x : constant3(x$1);
    y$1 = typeof y$1 === "function" ? y$1 : y$1 === void 0 ? y : constant3(y$1);
    function line2(data) {
      var i, n = (data = array3(data)).length, d, defined0 = false, buffer;
      if (context == null) output = curve(buffer = path2());
      for (i = 0; i <= n; ++i) {
        if (!(i < n && defined(d = data[i], i, data)) === defined0) {
          if (defined0 = !defined0) output.lineStart();
          else output.lineEnd();
        }
        if (defined0) output.point(+x$1(d, i, data), +y$1(d, i, data));
      }
      if (buffer) return output = null, buffer + "" || null;
    }
    line2.x = function(_) {
      return arguments.length ? (x$1 = typeof _ === "function" ? _ : constant3(+_), line2) : x$1;
    };
    line2.y = function(_) {
      return arguments.length ? (y$1 = typeof _ === "function" ? _ : constant3(+_), line2) : y$1;
    };
    line2.defined = function(_) {
      return arguments.length ? (defined = typeof _ === "function" ? _ : constant3(!!_), line2) : defined;
    };
    line2.curve = function(_) {
      return arguments.length ? (curve = _, context != null && (output = curve(context)), line2) : curve;
    };
    line2.context = function(_) {
      return arguments.length ? (_ == null ? context = output = null : output = curve(context = _), line2) : context;
    };
    return line2;
  }
  function area(x0, y0, y1) {
    var x1 = null, defined = constant3(true), context = null, curve = curveLinear, output = null, path2 = withPath(area2);
    x0 = typeof x0 === "function" ? x0 : x0 === void 0 ? x : constant3(+x0);
    y0 = typeof y0 === "function" ? y0 : y0 === void 0 ? constant3(0) : constant3(+y0);
    y1 = typeof y1 === "function" ? y1 : y1 === void 0 ? y : constant3(+y1);
    function area2(data) {
      var i, j, k2, n = (data = array3(data)).length, d, defined0 = false, buffer, x0z = new Array(n), y0z = new Array(n);
      if (context == null) output = curve(buffer = path2());
      for (i = 0; i <= n; ++i) {
        if (!(i < n && defined(d = data[i], i, data)) === defined0) {
          if (defined0 = !defined0) {
            j = i;
            output.areaStart();
            output.lineStart();
          } else {
            output.lineEnd();
            output.lineStart();
            for (k2 = i - 1; k2 >= j; --k2) {
              output.point(x0z[k2], y0z[k2]);
            }
            output.lineEnd();
            output.areaEnd();
          }
        }
        if (defined0) {
          x0z[i] = +x0(d, i, data), y0z[i] = +y0(d, i, data);
          output.point(x1 ? +x1(d, i, data) : x0z[i], y1 ? +y1(d, i, data) : y0z[i]);
        }
      }
      if (buffer) return output = null, buffer + "" || null;
    }
    function arealine() {
      return line().defined(defined).curve(curve).context(context);
    }
    area2.x = function(_) {
      return arguments.length ? (x0 = typeof _ === "function" ? _ : constant3(+_), x1 = null, area2) : x0;
    };
    area2.x0 = function(_) {
      return arguments.length ? (x0 = typeof _ === "function" ? _ : constant3(+_), area2) : x0;
    };
    area2.x1 = function(_) {
      return arguments.length ? (x1 = _ == null ? null : typeof _ === "function" ? _ : constant3(+_), area2) : x1;
    };
    area2.y = function(_) {
      return arguments.length ? (y0 = typeof _ === "function" ? _ : constant3(+_), y1 = null, area2) : y0;
    };
    area2.y0 = function(_) {
      return arguments.length ? (y0 = typeof _ === "function" ? _ : constant3(+_), area2) : y0;
    };
    area2.y1 = function(_) {
      return arguments.length ? (y1 = _ == null ? null : typeof _ === "function" ? _ : constant3(+_), area2) : y1;
    };
    area2.lineX0 = area2.lineY0 = function() {
      return arealine().x(x0).y(y0);
    };
    area2.lineY1 = function() {
      return arealine().x(x0).y(y1);
    };
    area2.lineX1 = function() {
      return arealine().x(x1).y(y0);
    };
    area2.defined = function(_) {
      return arguments.length ? (defined = typeof _ === "function" ? _ : constant3(!!_), area2) : defined;
    };
    area2.curve = function(_) {
      return arguments.length ? (curve = _, context != null && (output = curve(context)), area2) : curve;
    };
    area2.context = function(_) {
      return arguments.length ? (_ == null ? context = output = null : output = curve(context = _), area2) : context;
    };
    return area2;
  }
  var curveRadialLinear = curveRadial(curveLinear);
  function Radial(curve) {
    this._curve = curve;
  }
  Radial.prototype = {
    areaStart: function() {
      this._curve.areaStart();
    },
    areaEnd: function() {
      this._curve.areaEnd();
    },
    lineStart: function() {
      this._curve.lineStart();
    },
    lineEnd: function() {
      this._curve.lineEnd();
    },
    point: function(a2, r) {
      this._curve.point(r * Math.sin(a2), r * -Math.cos(a2));
    }
  };
  function curveRadial(curve) {
    function radial(context) {
      return new Radial(curve(context));
    }
    radial._curve = curve;
    return radial;
  }
  var sqrt3$2 = sqrt(3);
  var tan30 = sqrt(1 / 3);
  var tan30_2 = tan30 * 2;
  var kr = sin(pi2 / 10) / sin(7 * pi2 / 10);
  var kx = sin(tau2 / 10) * kr;
  var ky = -cos(tau2 / 10) * kr;
  var sqrt3$1 = sqrt(3);
  var sqrt3 = sqrt(3);
  var s = sqrt(3) / 2;
  var k = 1 / sqrt(12);
  var a = (k / 2 + 1) * 3;
  function noop() {
  }
  function point$3(that, x2, y2) {
    that._context.bezierCurveTo(
      (2 * that._x0 + that._x1) / 3,
      (2 * that._y0 + that._y1) / 3,
      (that._x0 + 2 * that._x1) / 3,
      (that._y0 + 2 * that._y1) / 3,
      (that._x0 + 4 * that._x1 + x2) / 6,
      (that._y0 + 4 * that._y1 + y2) / 6
    );
  }
  function Basis(context) {
    this._context = context;
  }
  Basis.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._y0 = this._y1 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 3:
          point$3(this, this._x1, this._y1);
        // falls through
        case 2:
          this._context.lineTo(this._x1, this._y1);
          break;
      }
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          this._context.lineTo((5 * this._x0 + this._x1) / 6, (5 * this._y0 + this._y1) / 6);
        // falls through
        default:
          point$3(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = x2;
      this._y0 = this._y1, this._y1 = y2;
    }
  };
  function BasisClosed(context) {
    this._context = context;
  }
  BasisClosed.prototype = {
    areaStart: noop,
    areaEnd: noop,
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._x3 = this._x4 = this._y0 = this._y1 = this._y2 = this._y3 = this._y4 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 1: {
          this._context.moveTo(this._x2, this._y2);
          this._context.closePath();
          break;
        }
        case 2: {
          this._context.moveTo((this._x2 + 2 * this._x3) / 3, (this._y2 + 2 * this._y3) / 3);
          this._context.lineTo((this._x3 + 2 * this._x2) / 3, (this._y3 + 2 * this._y2) / 3);
          this._context.closePath();
          break;
        }
        case 3: {
          this.point(this._x2, this._y2);
          this.point(this._x3, this._y3);
          this.point(this._x4, this._y4);
          break;
        }
      }
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._x2 = x2, this._y2 = y2;
          break;
        case 1:
          this._point = 2;
          this._x3 = x2, this._y3 = y2;
          break;
        case 2:
          this._point = 3;
          this._x4 = x2, this._y4 = y2;
          this._context.moveTo((this._x0 + 4 * this._x1 + x2) / 6, (this._y0 + 4 * this._y1 + y2) / 6);
          break;
        default:
          point$3(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = x2;
      this._y0 = this._y1, this._y1 = y2;
    }
  };
  function BasisOpen(context) {
    this._context = context;
  }
  BasisOpen.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._y0 = this._y1 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      if (this._line || this._line !== 0 && this._point === 3) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          var x0 = (this._x0 + 4 * this._x1 + x2) / 6, y0 = (this._y0 + 4 * this._y1 + y2) / 6;
          this._line ? this._context.lineTo(x0, y0) : this._context.moveTo(x0, y0);
          break;
        case 3:
          this._point = 4;
        // falls through
        default:
          point$3(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = x2;
      this._y0 = this._y1, this._y1 = y2;
    }
  };
  function Bundle(context, beta) {
    this._basis = new Basis(context);
    this._beta = beta;
  }
  Bundle.prototype = {
    lineStart: function() {
      this._x = [];
      this._y = [];
      this._basis.lineStart();
    },
    lineEnd: function() {
      var x2 = this._x, y2 = this._y, j = x2.length - 1;
      if (j > 0) {
        var x0 = x2[0], y0 = y2[0], dx = x2[j] - x0, dy = y2[j] - y0, i = -1, t;
        while (++i <= j) {
          t = i / j;
          this._basis.point(
            this._beta * x2[i] + (1 - this._beta) * (x0 + t * dx),
            this._beta * y2[i] + (1 - this._beta) * (y0 + t * dy)
          );
        }
      }
      this._x = this._y = null;
      this._basis.lineEnd();
    },
    point: function(x2, y2) {
      this._x.push(+x2);
      this._y.push(+y2);
    }
  };
  var bundle = (function custom(beta) {
    function bundle2(context) {
      return beta === 1 ? new Basis(context) : new Bundle(context, beta);
    }
    bundle2.beta = function(beta2) {
      return custom(+beta2);
    };
    return bundle2;
  })(0.85);
  function point$2(that, x2, y2) {
    that._context.bezierCurveTo(
      that._x1 + that._k * (that._x2 - that._x0),
      that._y1 + that._k * (that._y2 - that._y0),
      that._x2 + that._k * (that._x1 - x2),
      that._y2 + that._k * (that._y1 - y2),
      that._x2,
      that._y2
    );
  }
  function Cardinal(context, tension) {
    this._context = context;
    this._k = (1 - tension) / 6;
  }
  Cardinal.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._y0 = this._y1 = this._y2 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 2:
          this._context.lineTo(this._x2, this._y2);
          break;
        case 3:
          point$2(this, this._x1, this._y1);
          break;
      }
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
          this._x1 = x2, this._y1 = y2;
          break;
        case 2:
          this._point = 3;
        // falls through
        default:
          point$2(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var cardinal = (function custom2(tension) {
    function cardinal2(context) {
      return new Cardinal(context, tension);
    }
    cardinal2.tension = function(tension2) {
      return custom2(+tension2);
    };
    return cardinal2;
  })(0);
  function CardinalClosed(context, tension) {
    this._context = context;
    this._k = (1 - tension) / 6;
  }
  CardinalClosed.prototype = {
    areaStart: noop,
    areaEnd: noop,
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._x3 = this._x4 = this._x5 = this._y0 = this._y1 = this._y2 = this._y3 = this._y4 = this._y5 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 1: {
          this._context.moveTo(this._x3, this._y3);
          this._context.closePath();
          break;
        }
        case 2: {
          this._context.lineTo(this._x3, this._y3);
          this._context.closePath();
          break;
        }
        case 3: {
          this.point(this._x3, this._y3);
          this.point(this._x4, this._y4);
          this.point(this._x5, this._y5);
          break;
        }
      }
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._x3 = x2, this._y3 = y2;
          break;
        case 1:
          this._point = 2;
          this._context.moveTo(this._x4 = x2, this._y4 = y2);
          break;
        case 2:
          this._point = 3;
          this._x5 = x2, this._y5 = y2;
          break;
        default:
          point$2(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var cardinalClosed = (function custom3(tension) {
    function cardinal2(context) {
      return new CardinalClosed(context, tension);
    }
    cardinal2.tension = function(tension2) {
      return custom3(+tension2);
    };
    return cardinal2;
  })(0);
  function CardinalOpen(context, tension) {
    this._context = context;
    this._k = (1 - tension) / 6;
  }
  CardinalOpen.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._y0 = this._y1 = this._y2 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      if (this._line || this._line !== 0 && this._point === 3) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          this._line ? this._context.lineTo(this._x2, this._y2) : this._context.moveTo(this._x2, this._y2);
          break;
        case 3:
          this._point = 4;
        // falls through
        default:
          point$2(this, x2, y2);
          break;
      }
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var cardinalOpen = (function custom4(tension) {
    function cardinal2(context) {
      return new CardinalOpen(context, tension);
    }
    cardinal2.tension = function(tension2) {
      return custom4(+tension2);
    };
    return cardinal2;
  })(0);
  function point$1(that, x2, y2) {
    var x1 = that._x1, y1 = that._y1, x22 = that._x2, y22 = that._y2;
    if (that._l01_a > epsilon4) {
      var a2 = 2 * that._l01_2a + 3 * that._l01_a * that._l12_a + that._l12_2a, n = 3 * that._l01_a * (that._l01_a + that._l12_a);
      x1 = (x1 * a2 - that._x0 * that._l12_2a + that._x2 * that._l01_2a) / n;
      y1 = (y1 * a2 - that._y0 * that._l12_2a + that._y2 * that._l01_2a) / n;
    }
    if (that._l23_a > epsilon4) {
      var b = 2 * that._l23_2a + 3 * that._l23_a * that._l12_a + that._l12_2a, m = 3 * that._l23_a * (that._l23_a + that._l12_a);
      x22 = (x22 * b + that._x1 * that._l23_2a - x2 * that._l12_2a) / m;
      y22 = (y22 * b + that._y1 * that._l23_2a - y2 * that._l12_2a) / m;
    }
    that._context.bezierCurveTo(x1, y1, x22, y22, that._x2, that._y2);
  }
  function CatmullRom(context, alpha) {
    this._context = context;
    this._alpha = alpha;
  }
  CatmullRom.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._y0 = this._y1 = this._y2 = NaN;
      this._l01_a = this._l12_a = this._l23_a = this._l01_2a = this._l12_2a = this._l23_2a = this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 2:
          this._context.lineTo(this._x2, this._y2);
          break;
        case 3:
          this.point(this._x2, this._y2);
          break;
      }
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      if (this._point) {
        var x23 = this._x2 - x2, y23 = this._y2 - y2;
        this._l23_a = Math.sqrt(this._l23_2a = Math.pow(x23 * x23 + y23 * y23, this._alpha));
      }
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
        // falls through
        default:
          point$1(this, x2, y2);
          break;
      }
      this._l01_a = this._l12_a, this._l12_a = this._l23_a;
      this._l01_2a = this._l12_2a, this._l12_2a = this._l23_2a;
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var catmullRom = (function custom5(alpha) {
    function catmullRom2(context) {
      return alpha ? new CatmullRom(context, alpha) : new Cardinal(context, 0);
    }
    catmullRom2.alpha = function(alpha2) {
      return custom5(+alpha2);
    };
    return catmullRom2;
  })(0.5);
  function CatmullRomClosed(context, alpha) {
    this._context = context;
    this._alpha = alpha;
  }
  CatmullRomClosed.prototype = {
    areaStart: noop,
    areaEnd: noop,
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._x3 = this._x4 = this._x5 = this._y0 = this._y1 = this._y2 = this._y3 = this._y4 = this._y5 = NaN;
      this._l01_a = this._l12_a = this._l23_a = this._l01_2a = this._l12_2a = this._l23_2a = this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 1: {
          this._context.moveTo(this._x3, this._y3);
          this._context.closePath();
          break;
        }
        case 2: {
          this._context.lineTo(this._x3, this._y3);
          this._context.closePath();
          break;
        }
        case 3: {
          this.point(this._x3, this._y3);
          this.point(this._x4, this._y4);
          this.point(this._x5, this._y5);
          break;
        }
      }
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      if (this._point) {
        var x23 = this._x2 - x2, y23 = this._y2 - y2;
        this._l23_a = Math.sqrt(this._l23_2a = Math.pow(x23 * x23 + y23 * y23, this._alpha));
      }
      switch (this._point) {
        case 0:
          this._point = 1;
          this._x3 = x2, this._y3 = y2;
          break;
        case 1:
          this._point = 2;
          this._context.moveTo(this._x4 = x2, this._y4 = y2);
          break;
        case 2:
          this._point = 3;
          this._x5 = x2, this._y5 = y2;
          break;
        default:
          point$1(this, x2, y2);
          break;
      }
      this._l01_a = this._l12_a, this._l12_a = this._l23_a;
      this._l01_2a = this._l12_2a, this._l12_2a = this._l23_2a;
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var catmullRomClosed = (function custom6(alpha) {
    function catmullRom2(context) {
      return alpha ? new CatmullRomClosed(context, alpha) : new CardinalClosed(context, 0);
    }
    catmullRom2.alpha = function(alpha2) {
      return custom6(+alpha2);
    };
    return catmullRom2;
  })(0.5);
  function CatmullRomOpen(context, alpha) {
    this._context = context;
    this._alpha = alpha;
  }
  CatmullRomOpen.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._x2 = this._y0 = this._y1 = this._y2 = NaN;
      this._l01_a = this._l12_a = this._l23_a = this._l01_2a = this._l12_2a = this._l23_2a = this._point = 0;
    },
    lineEnd: function() {
      if (this._line || this._line !== 0 && this._point === 3) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      if (this._point) {
        var x23 = this._x2 - x2, y23 = this._y2 - y2;
        this._l23_a = Math.sqrt(this._l23_2a = Math.pow(x23 * x23 + y23 * y23, this._alpha));
      }
      switch (this._point) {
        case 0:
          this._point = 1;
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          this._line ? this._context.lineTo(this._x2, this._y2) : this._context.moveTo(this._x2, this._y2);
          break;
        case 3:
          this._point = 4;
        // falls through
        default:
          point$1(this, x2, y2);
          break;
      }
      this._l01_a = this._l12_a, this._l12_a = this._l23_a;
      this._l01_2a = this._l12_2a, this._l12_2a = this._l23_2a;
      this._x0 = this._x1, this._x1 = this._x2, this._x2 = x2;
      this._y0 = this._y1, this._y1 = this._y2, this._y2 = y2;
    }
  };
  var catmullRomOpen = (function custom7(alpha) {
    function catmullRom2(context) {
      return alpha ? new CatmullRomOpen(context, alpha) : new CardinalOpen(context, 0);
    }
    catmullRom2.alpha = function(alpha2) {
      return custom7(+alpha2);
    };
    return catmullRom2;
  })(0.5);
  function LinearClosed(context) {
    this._context = context;
  }
  LinearClosed.prototype = {
    areaStart: noop,
    areaEnd: noop,
    lineStart: function() {
      this._point = 0;
    },
    lineEnd: function() {
      if (this._point) this._context.closePath();
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      if (this._point) this._context.lineTo(x2, y2);
      else this._point = 1, this._context.moveTo(x2, y2);
    }
  };
  function sign(x2) {
    return x2 < 0 ? -1 : 1;
  }
  function slope3(that, x2, y2) {
    var h0 = that._x1 - that._x0, h1 = x2 - that._x1, s0 = (that._y1 - that._y0) / (h0 || h1 < 0 && -0), s1 = (y2 - that._y1) / (h1 || h0 < 0 && -0), p = (s0 * h1 + s1 * h0) / (h0 + h1);
    return (sign(s0) + sign(s1)) * Math.min(Math.abs(s0), Math.abs(s1), 0.5 * Math.abs(p)) || 0;
  }
  function slope2(that, t) {
    var h = that._x1 - that._x0;
    return h ? (3 * (that._y1 - that._y0) / h - t) / 2 : t;
  }
  function point(that, t02, t12) {
    var x0 = that._x0, y0 = that._y0, x1 = that._x1, y1 = that._y1, dx = (x1 - x0) / 3;
    that._context.bezierCurveTo(x0 + dx, y0 + dx * t02, x1 - dx, y1 - dx * t12, x1, y1);
  }
  function MonotoneX(context) {
    this._context = context;
  }
  MonotoneX.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x0 = this._x1 = this._y0 = this._y1 = this._t0 = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      switch (this._point) {
        case 2:
          this._context.lineTo(this._x1, this._y1);
          break;
        case 3:
          point(this, this._t0, slope2(this, this._t0));
          break;
      }
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      var t12 = NaN;
      x2 = +x2, y2 = +y2;
      if (x2 === this._x1 && y2 === this._y1) return;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
          break;
        case 2:
          this._point = 3;
          point(this, slope2(this, t12 = slope3(this, x2, y2)), t12);
          break;
        default:
          point(this, this._t0, t12 = slope3(this, x2, y2));
          break;
      }
      this._x0 = this._x1, this._x1 = x2;
      this._y0 = this._y1, this._y1 = y2;
      this._t0 = t12;
    }
  };
  function MonotoneY(context) {
    this._context = new ReflectContext(context);
  }
  (MonotoneY.prototype = Object.create(MonotoneX.prototype)).point = function(x2, y2) {
    MonotoneX.prototype.point.call(this, y2, x2);
  };
  function ReflectContext(context) {
    this._context = context;
  }
  ReflectContext.prototype = {
    moveTo: function(x2, y2) {
      this._context.moveTo(y2, x2);
    },
    closePath: function() {
      this._context.closePath();
    },
    lineTo: function(x2, y2) {
      this._context.lineTo(y2, x2);
    },
    bezierCurveTo: function(x1, y1, x2, y2, x3, y3) {
      this._context.bezierCurveTo(y1, x1, y2, x2, y3, x3);
    }
  };
  function Natural(context) {
    this._context = context;
  }
  Natural.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x = [];
      this._y = [];
    },
    lineEnd: function() {
      var x2 = this._x, y2 = this._y, n = x2.length;
      if (n) {
        this._line ? this._context.lineTo(x2[0], y2[0]) : this._context.moveTo(x2[0], y2[0]);
        if (n === 2) {
          this._context.lineTo(x2[1], y2[1]);
        } else {
          var px = controlPoints(x2), py = controlPoints(y2);
          for (var i0 = 0, i1 = 1; i1 < n; ++i0, ++i1) {
            this._context.bezierCurveTo(px[0][i0], py[0][i0], px[1][i0], py[1][i0], x2[i1], y2[i1]);
          }
        }
      }
      if (this._line || this._line !== 0 && n === 1) this._context.closePath();
      this._line = 1 - this._line;
      this._x = this._y = null;
    },
    point: function(x2, y2) {
      this._x.push(+x2);
      this._y.push(+y2);
    }
  };
  function controlPoints(x2) {
    var i, n = x2.length - 1, m, a2 = new Array(n), b = new Array(n), r = new Array(n);
    a2[0] = 0, b[0] = 2, r[0] = x2[0] + 2 * x2[1];
    for (i = 1; i < n - 1; ++i) a2[i] = 1, b[i] = 4, r[i] = 4 * x2[i] + 2 * x2[i + 1];
    a2[n - 1] = 2, b[n - 1] = 7, r[n - 1] = 8 * x2[n - 1] + x2[n];
    for (i = 1; i < n; ++i) m = a2[i] / b[i - 1], b[i] -= m, r[i] -= m * r[i - 1];
    a2[n - 1] = r[n - 1] / b[n - 1];
    for (i = n - 2; i >= 0; --i) a2[i] = (r[i] - a2[i + 1]) / b[i];
    b[n - 1] = (x2[n] + a2[n - 1]) / 2;
    for (i = 0; i < n - 1; ++i) b[i] = 2 * x2[i + 1] - a2[i + 1];
    return [a2, b];
  }
  function Step(context, t) {
    this._context = context;
    this._t = t;
  }
  Step.prototype = {
    areaStart: function() {
      this._line = 0;
    },
    areaEnd: function() {
      this._line = NaN;
    },
    lineStart: function() {
      this._x = this._y = NaN;
      this._point = 0;
    },
    lineEnd: function() {
      if (0 < this._t && this._t < 1 && this._point === 2) this._context.lineTo(this._x, this._y);
      if (this._line || this._line !== 0 && this._point === 1) this._context.closePath();
      if (this._line >= 0) this._t = 1 - this._t, this._line = 1 - this._line;
    },
    point: function(x2, y2) {
      x2 = +x2, y2 = +y2;
      switch (this._point) {
        case 0:
          this._point = 1;
          this._line ? this._context.lineTo(x2, y2) : this._context.moveTo(x2, y2);
          break;
        case 1:
          this._point = 2;
        // falls through
        default: {
          if (this._t <= 0) {
            this._context.lineTo(this._x, y2);
            this._context.lineTo(x2, y2);
          } else {
            var x1 = this._x * (1 - this._t) + x2 * this._t;
            this._context.lineTo(x1, this._y);
            this._context.lineTo(x1, y2);
          }
          break;
        }
      }
      this._x = x2, this._y = y2;
    }
  };

  // src/charts.mjs
  var LEFT = 48;
  var RIGHT = 14;
  var OUTLIERS = 3;
  var SHADES = 12;
  var widths = /* @__PURE__ */ new Map();
  function widthOf(element) {
    if (!widths.has(element)) widths.set(element, element.clientWidth);
    return widths.get(element);
  }
  var forgetWidths = () => widths.clear();
  var part = (svg, name, tag = "g") => {
    const found = svg.select(`.${name}`);
    return found.empty() ? svg.append(tag).attr("class", name) : found;
  };
  function canvas(element, height) {
    const width = Math.max(widthOf(element.parentElement), 200);
    return { width, svg: select(element).attr("width", width).attr("height", height) };
  }
  function drawAxis(svg, name, x2, y2, axis2) {
    const group = part(svg, name);
    const key = [x2, y2, ...axis2.scale().domain(), ...axis2.scale().range()].join();
    if (group.attr("data-key") !== key) group.attr("data-key", key).attr("transform", `translate(${x2},${y2})`).call(axis2);
  }
  var fixed = (x2, digits) => x2.toFixed(digits).replace("-", "−");
  function outliers(values) {
    return Array.from(values.keys()).sort((a2, b) => Math.abs(values[b]) - Math.abs(values[a2])).slice(0, OUTLIERS);
  }
  function drawStrips(element, strips, left2 = 1) {
    const [top2, tall, gap] = [18, 24, 20];
    const d = strips[0].values.length;
    const { width, svg } = canvas(element, top2 + strips.length * (tall + gap) + 6);
    const x2 = linear2([0, d], [left2, width - RIGHT]);
    const cell = (x2(1) - x2(0) + 0.3).toFixed(2);
    strips.forEach(({ name, values }, row) => {
      const y2 = top2 + row * (tall + gap);
      const largest2 = max(values, Math.abs) || 1;
      const shades = /* @__PURE__ */ new Map();
      for (let i = 0; i < d; i++) {
        const shade = Math.round(values[i] / largest2 * SHADES);
        if (shade) shades.set(shade, `${shades.get(shade) ?? ""}M${x2(i).toFixed(2)},${y2}h${cell}v${tall}h-${cell}z`);
      }
      const group = part(svg, `strip${row}`);
      part(group, "cells").selectAll("path").data(shades).join("path").attr("class", ([shade]) => shade < 0 ? "negative" : "positive").attr("fill-opacity", ([shade]) => Math.abs(shade) / SHADES).attr("d", ([, path2]) => path2);
      part(group, "frame", "path").attr("d", `M${left2},${y2}H${x2(d)}V${y2 + tall}H${left2}Z`);
      part(group, "name", "text").attr("x", left2).attr("y", y2 - 5).text(name);
    });
    const axis2 = axisBottom(x2).ticks(Math.min(d, width / 80)).tickSizeOuter(0);
    drawAxis(svg, "axis", 0, top2 + strips.length * (tall + gap) - gap, axis2);
    return x2;
  }
  function drawOutliers(element, values) {
    const x2 = drawStrips(element, [{ name: "context vector, one cell a dimension", values }]);
    const { width, svg } = canvas(element, 100);
    const labels = [];
    for (const i of outliers(values).sort((a2, b) => a2 - b)) {
      const at = Math.max(x2(i + 0.5), labels.length ? labels.at(-1).at + 84 : 42);
      labels.push({ i, at: Math.min(at, width - RIGHT - 42 - 84 * (OUTLIERS - 1 - labels.length)) });
    }
    part(svg, "marks", "path").attr("d", labels.map(({ i, at }) => `M${x2(i + 0.5)},64V70L${at},76V80`).join(""));
    part(svg, "labels").selectAll("text").data(labels).join("text").attr("x", ({ at }) => at).attr("y", 93).attr("text-anchor", "middle").text(({ i }) => `[${i}] ${fixed(values[i], 2)}`);
  }
  function drawRunningSum(element, sums) {
    const height = 170;
    const { width, svg } = canvas(element, height);
    const [low, high] = extent([0, ...sums]);
    const x2 = linear2([0, sums.length], [LEFT, width - RIGHT]);
    const y2 = linear2([low, high], [height - 26, 10]).nice();
    const points = [0, ...sums].map((sum, i) => [x2(i), y2(sum)]);
    part(svg, "zero", "line").attr("x1", LEFT).attr("x2", width - RIGHT).attr("y1", y2(0)).attr("y2", y2(0));
    part(svg, "fill", "path").attr("d", area().y0(y2(0))(points));
    part(svg, "line", "path").attr("d", line()(points));
    const [ex, ey] = points.at(-1);
    part(svg, "end", "circle").attr("cx", ex).attr("cy", ey).attr("r", 4);
    part(svg, "total", "text").attr("x", ex).attr("y", ey < height / 2 ? ey + 20 : ey - 10).attr("text-anchor", "end").text(fixed(sums.at(-1), 4));
    drawAxis(svg, "axis", 0, height - 26, axisBottom(x2).ticks(width / 80));
    drawAxis(svg, "axis-y", LEFT, 0, axisLeft(y2).ticks(4));
  }
  function binsOf(logits3) {
    const sorted = logits3.slice().sort();
    const [low, high] = [sorted[0], sorted.at(-1)];
    const x2 = linear2(low < high ? [low, high] : [low - 1, low + 1], [0, 1]).nice();
    const edges = [.../* @__PURE__ */ new Set([x2.domain()[0], ...x2.ticks(64), x2.domain()[1]])];
    const starts = edges.map((edge) => bisectLeft(sorted, edge));
    starts[edges.length - 1] = sorted.length;
    const bins = edges.slice(1).map((x1, i) => ({ x0: edges[i], x1, start: starts[i], end: starts[i + 1] }));
    return { domain: x2.domain(), sorted, bins };
  }
  function drawHistogram(element, { domain, sorted, bins }, lowest, survivors) {
    const height = 210;
    const floor = height - 40;
    const { width, svg } = canvas(element, height);
    const x2 = linear2(domain, [LEFT, width - RIGHT]);
    const y2 = linear2([0, max(bins, (b) => b.end - b.start)], [floor, 14]).nice();
    const first = bisectLeft(sorted, lowest);
    const counts = bins.map((b) => ({ ...b, n: b.end - b.start, kept: Math.max(b.end - Math.max(b.start, first), 0) }));
    const bar = (b, from, to) => {
      const wide = Math.max(x2(b.x1) - x2(b.x0) - 1, 0.5);
      return from < to ? `M${x2(b.x0).toFixed(2)},${y2(from)}V${y2(to)}h${wide.toFixed(2)}V${y2(from)}Z` : "";
    };
    part(svg, "cut", "path").attr("d", counts.map((b) => bar(b, b.kept, b.n)).join(""));
    part(svg, "kept", "path").attr("d", counts.map((b) => bar(b, 0, b.kept)).join(""));
    const ticks2 = /* @__PURE__ */ new Set();
    for (let i = first; i < sorted.length; i++) ticks2.add(Math.round(x2(sorted[i])));
    part(svg, "ticks", "path").attr("d", Array.from(ticks2, (at) => `M${at},${floor + 3}v7`).join(""));
    part(svg, "edge", "line").attr("x1", x2(lowest)).attr("x2", x2(lowest)).attr("y1", 14).attr("y2", floor);
    const right2 = x2(lowest) > width / 2;
    part(svg, "total", "text").attr("x", x2(lowest) + (right2 ? -6 : 6)).attr("y", 22).attr("text-anchor", right2 ? "end" : "start").text(`${survivors.toLocaleString("en-US")} survive ${right2 ? "→" : "from here on →"}`);
    drawAxis(svg, "axis", 0, floor + 13, axisBottom(x2).ticks(width / 80));
    drawAxis(svg, "axis-y", LEFT, 0, axisLeft(y2).ticks(4));
  }

  // ../javascript/bundle.mjs
  var FORMAT = "lm-head-bundle";
  var VERSION = 2;
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) throw new Error("bundles need a little-endian machine");
  var BundleError = class extends Error {
    code = "bad_bundle";
  };
  function widenFloat16(bits) {
    const [sign2, exponent2, fraction] = [bits >> 15 ? -1 : 1, bits >> 10 & 31, bits & 1023];
    if (exponent2 === 31) return fraction ? NaN : sign2 * Infinity;
    return sign2 * (exponent2 ? 1024 + fraction : fraction) * 2 ** ((exponent2 || 1) - 25);
  }
  var widenBfloat16 = (halves) => new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
  var DTYPES = {
    float64: [Float64Array, (numbers) => numbers],
    float32: [Float32Array, (numbers) => numbers],
    float16: [Uint16Array, (halves) => Float32Array.from(halves, widenFloat16)],
    bfloat16: [Uint16Array, widenBfloat16]
  };
  function parseJson(bytes, what) {
    let value2;
    try {
      value2 = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch (error) {
      throw new BundleError(`${what} is no JSON: ${error.message}`);
    }
    if (typeof value2 !== "object" || value2 === null) throw new BundleError(`${what} is no JSON object`);
    return value2;
  }
  var isSize = (n) => Number.isSafeInteger(n) && n >= 0;
  async function sha256(bytes, subtle) {
    const digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  async function parseManifest(bytes, subtle) {
    const manifest = parseJson(bytes, "manifest.json");
    if (manifest.format !== FORMAT || manifest.version !== VERSION)
      throw new BundleError(`format ${manifest.format} version ${manifest.version} is not ${FORMAT} ${VERSION}`);
    const text = new TextDecoder().decode(bytes);
    const seal = String(manifest.sha256);
    const at = text.lastIndexOf(seal);
    const unsealed = new TextEncoder().encode(text.slice(0, at) + "0".repeat(64) + text.slice(at + 64));
    if (seal.length !== 64 || await sha256(unsealed, subtle) !== seal)
      throw new BundleError("manifest.json does not match its own sha256: export the bundle again");
    return manifest;
  }
  function tensorOf(manifest, name, files, shape) {
    const tensor = manifest.tensors?.[name];
    const file = files.get(tensor?.file);
    if (!file || !Object.hasOwn(DTYPES, tensor.dtype) || JSON.stringify(tensor.shape) !== JSON.stringify(shape))
      throw new BundleError(`there is no tensor ${name} of shape [${shape}] in the bundle`);
    const [Stored, widen] = DTYPES[tensor.dtype];
    const count2 = shape.reduce((a2, b) => a2 * b, 1);
    const [start2, end] = [tensor.offset, tensor.offset + count2 * Stored.BYTES_PER_ELEMENT];
    if (!(isSize(start2) && end <= file.byteLength)) throw new BundleError(`tensor ${name} does not fit into its file`);
    const aligned = start2 % Stored.BYTES_PER_ELEMENT === 0;
    return widen(aligned ? new Stored(file, start2, count2) : new Stored(file.slice(start2, end)));
  }
  async function openBundle(read2, { names, subtle = globalThis.crypto?.subtle } = {}) {
    const readWhole = async (name) => {
      try {
        return await read2(name);
      } catch (error) {
        throw new BundleError(`${name} cannot be read: ${error.message}`);
      }
    };
    const manifest = await parseManifest(await readWhole("manifest.json"), subtle);
    const files = /* @__PURE__ */ new Map();
    for (const name of names ?? Object.keys(manifest.files ?? {})) {
      if (/[/\\]/.test(name)) throw new BundleError(`${name} is no name of a file inside the bundle`);
      const [bytes, listed] = [await readWhole(name), manifest.files?.[name]];
      if (bytes.byteLength !== listed?.size || await sha256(bytes, subtle) !== listed.sha256)
        throw new BundleError(`${name} is not of the size and sha256 in manifest.json: export the bundle again`);
      files.set(name, bytes);
    }
    const { vocab_size: V, hidden_size: d, prompts: contexts } = manifest;
    if (![V, d, contexts].every(isSize) || V * d === 0) throw new BundleError(`the manifest has V = ${V} and d = ${d}`);
    const embedding = tensorOf(manifest, "embedding", files, [V, d]);
    const context = contexts ? tensorOf(manifest, "context", files, [contexts, d]) : new Float32Array(0);
    return { manifest, V, d, contexts, embedding, context, files };
  }

  // src/embedded.mjs
  function bytesOf(base64) {
    const binary = atob(base64);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes.buffer;
  }
  async function read(name) {
    const block = document.getElementById(`file:${name}`);
    if (!block) throw new Error("it is not in this page");
    return bytesOf(block.textContent.trim());
  }
  function parse(files, name) {
    if (!files.has(name)) return null;
    return JSON.parse(new TextDecoder().decode(files.get(name)));
  }
  async function embeddedBundle() {
    if (!globalThis.crypto?.subtle)
      throw new BundleError(
        "this browser has no Web Crypto here (crypto.subtle), with which the bundle is checked: open the page from disk or over HTTPS, in a current browser"
      );
    const bundle2 = await openBundle(read);
    const { manifest, V, files, contexts } = bundle2;
    const [prompts, tokens] = [parse(files, "prompts.json"), parse(files, "tokens.json")];
    if (!contexts || prompts?.length !== contexts || tokens?.tokens.length !== V)
      throw new BundleError("the bundle has no prompts, or not one for each context: export it without --head-only");
    const pytorchLogits = tensorOf(manifest, "logits", files, [contexts, V]);
    const exactLogits = tensorOf(manifest, "logits_exact", files, [contexts, V]);
    const row = (table) => (prompt) => table.subarray(prompt * V, prompt * V + V);
    const name = document.documentElement.dataset.bundle;
    return {
      ...bundle2,
      prompts,
      tokens,
      title: `${manifest.model}, d = ${bundle2.d}, V = ${V.toLocaleString("en-US")}`,
      pytorchLogits: row(pytorchLogits),
      exactLogits: row(exactLogits),
      numpy: (prompt) => [
        `import reference, weights_export.bundle`,
        `bundle = weights_export.bundle.open_bundle(${JSON.stringify(name)})`,
        `bundle.context[${prompt}], bundle.embedding`
      ]
    };
  }
  function pytorchAnswers(head) {
    const answers = JSON.parse(document.getElementById("pytorch").textContent);
    const { V, contexts: N } = head;
    const settings = (answers.settings ?? []).map(({ temperature: temperature2, k: k2, ids, probs, draws }) => {
      const n = Math.min(k2, V);
      const values = new Float32Array(bytesOf(probs));
      const tokenIds = ids === null ? null : new Int32Array(bytesOf(ids));
      const drawn = draws === null ? null : new Int32Array(bytesOf(draws));
      if (values.length !== N * n || (tokenIds ?? values).length !== N * n || (drawn?.length ?? 0) % N)
        throw new BundleError("they do not have the shape of the bundle");
      const rowOf = (prompt) => {
        const row = values.subarray(prompt * n, prompt * n + n);
        if (!tokenIds) return row;
        const whole2 = new Float32Array(V);
        row.forEach((p, i) => whole2[tokenIds[prompt * n + i]] = p);
        return whole2;
      };
      const seeds = drawn ? drawn.length / N : 0;
      const drawOf = (prompt, seed) => seed >= 0n && seed < seeds ? drawn[prompt * seeds + Number(seed)] : null;
      return { temperature: temperature2, k: k2, seeds, rowOf, drawOf };
    });
    return { note: answers.note, version: answers.version, settings };
  }
  function toy() {
    const rows = [1, 0, 0.8, 0.6, 0, 1, -1, 0];
    return {
      V: 4,
      d: 2,
      contexts: 1,
      embedding: Float32Array.from(rows),
      context: Float32Array.of(2, 1),
      prompts: [{ text: "(a toy of four tokens)", token_ids: [0, 1] }],
      tokens: { tokens: ["61", "62", "63", "64"], special: [] },
      title: "a toy, d = 2, V = 4",
      numpy: () => [
        `import numpy as np, reference`,
        `embedding = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype=np.float32)`,
        `np.array([2, 1], dtype=np.float32), embedding`
      ]
    };
  }

  // ../javascript/lm_head.mjs
  function refuse(code, message, Kind = RangeError) {
    throw Object.assign(new Kind(message), { code });
  }
  function place(name, values, index, V) {
    return values.length === V ? `${name}[${index}]` : `${name}[${Math.floor(index / V)}, ${index % V}]`;
  }
  function checkFloats(name, values) {
    if (values instanceof Float32Array || values instanceof Float64Array) return;
    refuse("bad_dtype", `${name} is no Float32Array or Float64Array: convert it`, TypeError);
  }
  function rowsOf(name, values, V) {
    checkFloats(name, values);
    if (!(Number.isInteger(V) && V > 0 && values.length % V === 0))
      refuse("bad_shape", `${name} has ${values.length} numbers: they must be rows of V = ${V} tokens, and V at least 1`);
    return values.length / V;
  }
  function checkLogits(logits3, V, name = "logits", code = "bad_logits") {
    const rows = rowsOf(name, logits3, V);
    for (let start2 = 0; start2 < rows * V; start2 += V) {
      let alive = false;
      for (let i = start2; i < start2 + V; i++) {
        if (!(logits3[i] < Infinity))
          refuse(code, `${place(name, logits3, i, V)} is ${logits3[i]}: it must be finite, or -Infinity to mask a token`);
        if (logits3[i] > -Infinity) alive = true;
      }
      if (!alive) refuse(code, `row ${start2 / V} of ${name} is -Infinity for every token: leave at least one unmasked`);
    }
    return rows;
  }
  function checkNonNegative(name, values, V, code) {
    for (let i = 0; i < values.length; i++)
      if (!(values[i] >= 0 && values[i] < Infinity))
        refuse(code, `${place(name, values, i, V)} is ${values[i]}: it must be finite and >= 0`);
  }
  function checkProbs(probs, V, numSamples = 1) {
    const rows = rowsOf("probs", probs, V);
    checkNonNegative("probs", probs, V, "bad_probs");
    for (let row = 0; row < rows; row++) {
      let possible = 0;
      for (let i = row * V; i < row * V + V; i++) if (probs[i] > 0) possible++;
      if (possible === 0) refuse("bad_probs", `row ${row} of probs sums to zero: a token needs a probability above zero`);
      if (possible < numSamples)
        refuse("bad_num_samples", `numSamples is ${numSamples}, row ${row} has ${possible} possible tokens: draw fewer`);
    }
    return rows;
  }
  function checkCount(name, value2, code) {
    if (!Number.isInteger(value2)) refuse(code, `${name} is ${value2}: it must be an integer`, TypeError);
    if (value2 < 1) refuse(code, `${name} is ${value2}: it must be at least 1`);
  }
  function dot(h, w) {
    let a2 = 0;
    let b = 0;
    let c = 0;
    let e = 0;
    let i = 0;
    for (; i + 3 < h.length; i += 4) {
      a2 += h[i] * w[i];
      b += h[i + 1] * w[i + 1];
      c += h[i + 2] * w[i + 2];
      e += h[i + 3] * w[i + 3];
    }
    for (; i < h.length; i++) a2 += h[i] * w[i];
    return a2 + b + (c + e);
  }
  function computeLogits(context, embedding, d = context.length) {
    checkFloats("context", context);
    checkFloats("embedding", embedding);
    if (!(Number.isInteger(d) && d > 0 && embedding.length > 0 && embedding.length % d === 0 && context.length % d === 0))
      refuse("bad_shape", `context has ${context.length} numbers, embedding ${embedding.length}: not rows of d = ${d}`);
    const [rows, V] = [context.length / d, embedding.length / d];
    const Kind = context instanceof Float64Array || embedding instanceof Float64Array ? Float64Array : Float32Array;
    const logits3 = new Kind(rows * V);
    for (let row = 0; row < rows; row++) {
      const h = Float64Array.from(context.subarray(row * d, row * d + d));
      for (let v = 0; v < V; v++) logits3[row * V + v] = dot(h, embedding.subarray(v * d, v * d + d));
    }
    return logits3;
  }
  function applyTemperature(logits3, temperature2, V = logits3.length) {
    checkLogits(logits3, V);
    if (typeof temperature2 !== "number")
      refuse("bad_temperature", `temperature is ${temperature2}: it must be one number`, TypeError);
    const divisor = logits3 instanceof Float32Array ? Math.fround(temperature2) : temperature2;
    if (!(divisor > 0 && divisor < Infinity))
      refuse("bad_temperature", `temperature is ${temperature2}: it must be finite and > 0; for greedy take the argmax`);
    const scaled = logits3.map((x2) => x2 / divisor);
    checkLogits(scaled, V, `(logits / ${temperature2})`, "overflow");
    return scaled;
  }
  function behind(scores, a2, b) {
    return scores[a2] < scores[b] || scores[a2] === scores[b] && a2 > b;
  }
  function sink(scores, heap, root2, n) {
    const id = heap[root2];
    for (let child; (child = 2 * root2 + 1) < n; root2 = child) {
      if (child + 1 < n && behind(scores, heap[child + 1], heap[child])) child++;
      if (behind(scores, id, heap[child])) break;
      heap[root2] = heap[child];
    }
    heap[root2] = id;
  }
  function largest(scores, k2) {
    const heap = Int32Array.from({ length: k2 }, (_, i) => i);
    for (let i = k2 >> 1; i-- > 0; ) sink(scores, heap, i, k2);
    for (let v = k2; v < scores.length; v++) {
      if (scores[v] > scores[heap[0]]) {
        heap[0] = v;
        sink(scores, heap, 0, k2);
      }
    }
    for (let n = k2 - 1; n > 0; n--) {
      [heap[0], heap[n]] = [heap[n], heap[0]];
      sink(scores, heap, 0, n);
    }
    return heap;
  }
  function topK(logits3, k2, V = logits3.length) {
    const rows = checkLogits(logits3, V);
    checkCount("k", k2, "bad_k");
    const n = Math.min(k2, V);
    const [values, tokenIds] = [new logits3.constructor(rows * n), new Int32Array(rows * n)];
    for (let row = 0; row < rows; row++) {
      const scores = logits3.subarray(row * V, row * V + V);
      const ids = largest(scores, n);
      tokenIds.set(ids, row * n);
      ids.forEach((id, i) => values[row * n + i] = scores[id]);
    }
    return { values, tokenIds };
  }
  function keepTopK(logits3, k2, ties = "lowest_id", V = logits3.length) {
    const { values, tokenIds } = topK(logits3, k2, V);
    if (ties !== "lowest_id" && ties !== "all") refuse("bad_ties", `ties is ${ties}: it must be "lowest_id" or "all"`);
    const n = Math.min(k2, V);
    const kept = new logits3.constructor(logits3.length).fill(-Infinity);
    for (let row = 0; row * V < logits3.length; row++) {
      const [kth, lastKept] = [values[row * n + n - 1], ties === "all" ? V : tokenIds[row * n + n - 1]];
      for (let v = 0, i = row * V; v < V; v++, i++)
        if (logits3[i] > kth || logits3[i] === kth && v <= lastKept) kept[i] = logits3[i];
    }
    return kept;
  }
  function softmax(logits3, V = logits3.length) {
    const rows = checkLogits(logits3, V);
    const probs = new logits3.constructor(logits3.length);
    for (let start2 = 0; start2 < rows * V; start2 += V) {
      let max2 = -Infinity;
      for (let i = start2; i < start2 + V; i++) if (logits3[i] > max2) max2 = logits3[i];
      let total = 0;
      for (let i = start2; i < start2 + V; i++) total += probs[i] = Math.exp(logits3[i] - max2);
      for (let i = start2; i < start2 + V; i++) probs[i] /= total;
    }
    return probs;
  }
  function multinomial(probs, noise, numSamples = 1, V = probs.length) {
    checkCount("numSamples", numSamples, "bad_num_samples");
    const rows = checkProbs(probs, V, numSamples);
    checkFloats("noise", noise);
    if (noise.length !== probs.length) refuse("bad_shape", `noise has ${noise.length} numbers, probs ${probs.length}`);
    checkNonNegative("noise", noise, V, "bad_noise");
    const race2 = probs.map((p, i) => p > 0 ? p / Math.abs(noise[i]) : -1);
    const tokenIds = new Int32Array(rows * numSamples);
    for (let row = 0; row < rows; row++)
      tokenIds.set(largest(race2.subarray(row * V, row * V + V), numSamples), row * numSamples);
    return tokenIds;
  }
  var TorchGenerator = class {
    #state = new Uint32Array(624);
    #next = 624;
    /** @param {bigint | number} seed an integer from -2^63 to 2^64 - 1; only its low 32 bits count */
    constructor(seed) {
      if (typeof seed !== "bigint" && !Number.isSafeInteger(seed))
        refuse("bad_seed", `seed is ${seed}: it must be an integer, beyond 2^53 a bigint`, TypeError);
      if (seed < -(2n ** 63n) || seed >= 2n ** 64n)
        refuse("bad_seed", `seed is ${seed}: it must be from -2^63 to 2^64 - 1`);
      this.#state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
      for (let i = 1; i < 624; i++) {
        const previous = this.#state[i - 1];
        this.#state[i] = Math.imul(1812433253, previous ^ previous >>> 30) + i;
      }
    }
    /** The next 32 bits. */
    #output() {
      const s2 = this.#state;
      if (this.#next === 624) {
        for (let i = 0; i < 624; i++) {
          const joined = s2[i] & 2147483648 | s2[(i + 1) % 624] & 2147483647;
          s2[i] = s2[(i + 397) % 624] ^ joined >>> 1 ^ (joined & 1 ? 2567483615 : 0);
        }
        this.#next = 0;
      }
      let y2 = s2[this.#next++];
      y2 ^= y2 >>> 11;
      y2 ^= y2 << 7 & 2636928640;
      y2 ^= y2 << 15 & 4022730752;
      return (y2 ^ y2 >>> 18) >>> 0;
    }
    /** 53 bits, the first output being the high word. */
    #uniform53() {
      const high = this.#output() & 2097151;
      return (high * 2 ** 32 + this.#output()) * 2 ** -53;
    }
    /**
     * As `torch.rand(size)`: float32 takes 32 bits of the stream for each number, float64 takes 64.
     *
     * @param {number} size
     * @param {Float32ArrayConstructor | Float64ArrayConstructor} Kind
     * @returns {Floats}
     */
    uniforms(size, Kind = Float64Array) {
      const draw2 = Kind === Float32Array ? () => (this.#output() & 16777215) * 2 ** -24 : () => this.#uniform53();
      return new Kind(size).map(draw2);
    }
    /**
     * As `torch.empty(size).exponential_()` in float32. Its float64 numbers are not offered: they have the last bit of
     * the C library's log1p, and a JavaScript engine has a log1p of its own. Rounded to float32 that bit is gone.
     *
     * @param {number} size
     * @returns {Float32Array}
     */
    exponentials(size) {
      return new Float32Array(size).map(() => -Math.log1p(-this.#uniform53()));
    }
  };

  // src/head.mjs
  var SHOWN = 12;
  function last(f) {
    let [key, value2] = [null, null];
    return (...args) => {
      const now = args.join();
      if (now !== key) [value2, key] = [f(...args), now];
      return value2;
    };
  }
  var Head = class {
    /** @param {{V: number, d: number, embedding: Float32Array, context: Float32Array}} bundle */
    constructor(bundle2) {
      Object.assign(this, bundle2);
      const { V, d } = bundle2;
      this.contextOf = (prompt) => this.context.subarray(prompt * d, prompt * d + d);
      this.logits = last((prompt) => computeLogits(this.contextOf(prompt), this.embedding));
      this.scaled = last((prompt, T) => applyTemperature(this.logits(prompt), T));
      this.whole = last((prompt, T) => softmax(this.scaled(prompt, T)));
      this.kept = last((prompt, T, k2) => keepTopK(this.scaled(prompt, T), k2));
      this.probs = last((prompt, T, k2) => softmax(this.kept(prompt, T, k2)));
      this.candidates = last((prompt, T) => topK(this.scaled(prompt, T), SHOWN).tokenIds);
      this.firstNoise = last((seed) => new TorchGenerator(seed).exponentials(V));
      this.summary = last((prompt, T, k2) => this.#summary(prompt, T, k2));
    }
    embeddingOf(token) {
      return this.embedding.subarray(token * this.d, token * this.d + this.d);
    }
    /** Of a setting: the mass that the cut took away, entropy in bits, how many survive and can be drawn. */
    #summary(prompt, T, k2) {
      const [whole2, kept, probs] = [this.whole(prompt, T), this.kept(prompt, T, k2), this.probs(prompt, T, k2)];
      let [tail, entropy, possible, lowest] = [0, 0, 0, Infinity];
      const logits3 = this.logits(prompt);
      for (let v = 0; v < this.V; v++) {
        if (kept[v] === -Infinity) tail += whole2[v];
        else if (logits3[v] < lowest) lowest = logits3[v];
        if (probs[v] > 0) {
          entropy -= probs[v] * Math.log2(probs[v]);
          possible++;
        }
      }
      return { tail, entropy: Math.max(entropy, 0), effective: 2 ** Math.max(entropy, 0), possible, lowest };
    }
  };
  var Draws = class {
    #rng = null;
    constructor(head, probs, seed) {
      Object.assign(this, { head, probs, seed, count: 0, token: -1, first: -1, noise: null });
      this.counts = new Uint32Array(head.V);
    }
    next() {
      if (this.count === 0) this.noise = this.head.firstNoise(this.seed);
      else {
        if (!this.#rng) {
          this.#rng = new TorchGenerator(this.seed);
          this.#rng.exponentials(this.head.V);
        }
        this.noise = this.#rng.exponentials(this.head.V);
      }
      this.token = multinomial(this.probs, this.noise)[0];
      if (this.count === 0) this.first = this.token;
      this.counts[this.token]++;
      this.count++;
    }
    /** The ids that came in first in the last race, in order of arrival. */
    arrivals(possible) {
      return multinomial(this.probs, this.noise, Math.min(SHOWN, possible));
    }
  };

  // src/state.mjs
  var MOST_DRAWS = 1e5;
  var Problem = class extends Error {
    constructor(field, message) {
      super(message);
      this.field = field;
    }
  };
  function number4(field, text, example) {
    const trimmed = text.trim();
    if (trimmed === "") throw new Problem(field, `${field} is empty: type ${example}`);
    if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(trimmed))
      throw new Problem(field, `${field} is "${trimmed.slice(0, 40)}": type ${example}`);
    return Number(trimmed);
  }
  function whole(field, text, low, high) {
    const value2 = number4(field, text, `a whole number from ${low} to ${high}`);
    if (!(Number.isInteger(value2) && value2 >= low && value2 <= high))
      throw new Problem(field, `${field} is ${text.trim()}: it must be a whole number from ${low} to ${high}`);
    return value2;
  }
  var READ = {
    prompt: (text, head) => whole("prompt", text, 0, head.prompts.length - 1),
    temperature: (text) => number4("temperature", text, "a number above 0, such as 0.7"),
    k: (text, head) => number4("k", text, `a whole number from 1 to V = ${head.V}`),
    seed: (text) => {
      const trimmed = text.trim();
      if (!/^[-+]?\d{1,20}$/.test(trimmed))
        throw new Problem("seed", `seed is "${trimmed.slice(0, 40)}": type a whole number, such as 0`);
      return BigInt(trimmed.replace("+", ""));
    },
    draws: (text) => whole("draws", text, 1, MOST_DRAWS),
    token: (text, head) => whole("token", text, 0, head.V - 1)
  };
  var START = { prompt: 0, temperature: 0.7, k: 50, seed: 0n, draws: 1, token: null };
  function toFragment(state) {
    const parts = Object.entries(state).filter(([, value2]) => value2 !== null);
    return `#${parts.map(([name, value2]) => `${name}=${value2}`).join("&")}`;
  }
  function fromFragment(fragment, head) {
    const [state, problems] = [{ ...START }, []];
    for (const [name, text] of new URLSearchParams(fragment.replace(/^#/, ""))) {
      try {
        if (!Object.hasOwn(READ, name)) throw new Problem("fragment", `the link has "${name}", which is not known here`);
        state[name] = READ[name](text, head);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        problems.push(error);
      }
    }
    return { state, problems };
  }
  function stepsOfK(V) {
    const steps = [];
    for (let k2 = 1; k2 < V; k2 = k2 < 20 ? k2 + 1 : Math.round(k2 * 1.1)) steps.push(k2);
    if (V > 50 && !steps.includes(50)) steps.splice(steps.findIndex((k2) => k2 > 50), 0, 50);
    return [...steps, V];
  }

  // src/tables.mjs
  var NS = "http://www.w3.org/2000/svg";
  function make(tag, attributes = {}, ...children2) {
    const element = document.createElement(tag);
    for (const [name, value2] of Object.entries(attributes)) element.setAttribute(name, value2);
    element.append(...children2);
    return element;
  }
  var BarTable = class {
    /**
     * @param {HTMLTableElement} table with a caption
     * @param {{label: string, kind: "token" | "number" | "minor"}[]} columns
     * @param {string} barLabel
     */
    constructor(table, columns, barLabel) {
      this.columns = columns;
      table.setAttribute("role", "table");
      this.axis = document.createElementNS(NS, "svg");
      this.axis.setAttribute("class", "axis");
      this.axis.setAttribute("aria-hidden", "true");
      const labels = columns.map(({ label, kind }) => make("th", { scope: "col", role: "columnheader", class: kind }, label));
      this.place = make("th", { scope: "col", role: "columnheader", class: "bar" });
      this.place.append(make("span", { class: "hidden" }, barLabel), this.axis);
      table.append(make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...labels, this.place)));
      this.body = table.appendChild(make("tbody", { role: "rowgroup" }));
      this.rows = [];
    }
    #row() {
      const cells = this.columns.map(
        ({ kind }, i) => i ? make("td", { role: "cell", class: kind }) : make("th", { scope: "row", role: "rowheader", class: kind })
      );
      const svg = document.createElementNS(NS, "svg");
      const bar = svg.appendChild(document.createElementNS(NS, "rect"));
      const tick = svg.appendChild(document.createElementNS(NS, "line"));
      tick.setAttribute("y2", "100%");
      svg.setAttribute("aria-hidden", "true");
      const element = make("tr", { role: "row" }, ...cells, make("td", { role: "cell", class: "bar" }, svg));
      this.body.append(element);
      return { element, cells, bar, tick };
    }
    /**
     * @param {Row[]} rows `data` goes into the row's data attributes
     * @param {import("d3-scale").ScaleContinuousNumeric} scale of the bars; its range is set here
     * @param {(axis: object) => object} ticks
     */
    update(rows, scale, ticks2 = (axis2) => axis2.ticks(3)) {
      while (this.rows.length < rows.length) this.rows.push(this.#row());
      while (this.rows.length > rows.length) this.rows.pop().element.remove();
      const at = scale.copy().range([0, 100]);
      rows.forEach((row, i) => {
        const { element, cells, bar, tick } = this.rows[i];
        row.cells.forEach((text, c) => cells[c].textContent !== text && (cells[c].textContent = text));
        element.className = row.state ?? "";
        Object.assign(element.dataset, row.data);
        bar.setAttribute("width", `${row.value > 0 ? Math.max(at(row.value), 0) : 0}%`);
        tick.setAttribute("class", row.tick === void 0 ? "none" : "");
        if (row.tick !== void 0) tick.setAttribute("x1", `${at(row.tick)}%`), tick.setAttribute("x2", `${at(row.tick)}%`);
      });
      const width = widthOf(this.place);
      const key = [...scale.domain(), width].join();
      if (key === this.axisKey || !width) return;
      this.axisKey = key;
      select(this.axis).call(ticks2(axisTop(scale.copy().range([0, width])).tickSizeOuter(0).tickSize(4)));
    }
  };

  // src/tokens.mjs
  var VISIBLE = { " ": "·", "\n": "⏎", "	": "⇥", "\r": "␍" };
  var encoder = new TextEncoder();
  var decoder = new TextDecoder("utf-8", { fatal: true });
  var hex2 = (byte) => `\\x${byte.toString(16).padStart(2, "0").toUpperCase()}`;
  var Tokens = class {
    constructor(table) {
      this.table = table;
      this.shown = /* @__PURE__ */ new Map();
    }
    /** The text of token `id`; `#id` where it has none. */
    show(id) {
      if (!this.shown.has(id)) this.shown.set(id, this.#text(id));
      return this.shown.get(id);
    }
    #text(id) {
      const digits = this.table?.tokens[id] ?? "";
      if (digits === "") return `#${id}`;
      const bytes = Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
      let text;
      try {
        text = decoder.decode(bytes);
      } catch {
        return Array.from(bytes, (byte) => byte > 32 && byte < 127 ? String.fromCharCode(byte) : hex2(byte)).join("");
      }
      return text.replace(/[\s\p{C}]/gu, (c) => VISIBLE[c] ?? Array.from(encoder.encode(c), hex2).join(""));
    }
  };

  // src/bounds.mjs
  var U = { float32: 2 ** -24, float64: 2 ** -53 };
  var OMEGA = { float32: 2 ** -126, float64: 2 ** -1022 };
  var EXP_ULPS = 4;
  function gamma2(n, dtype) {
    const nu = n * U[dtype];
    return nu < 1 ? nu / (1 - nu) : Infinity;
  }
  function magnitude(context, embedding) {
    const d = context.length;
    const h = Float64Array.from(context, Math.abs);
    const sums = new Float64Array(embedding.length / d);
    for (let v = 0, at = 0; v < sums.length; v++) {
      let sum = 0;
      for (let i = 0; i < d; i++, at++) sum += h[i] * Math.abs(embedding[at]);
      sums[v] = sum * (1 + 2 * gamma2(d, "float64"));
    }
    return sums;
  }
  function logits(magnitude2, d, dtype) {
    const [relative, absolute] = [gamma2(d, dtype), 2 * d * OMEGA[dtype]];
    return magnitude2.map((m) => relative * m + absolute);
  }
  var temperature = (z, T, dtype, error) => z.map((x2, v) => (error[v] + U[dtype] * (Math.abs(x2) + error[v])) / T + OMEGA[dtype]);
  var race = (p, e, dtype, error) => p > 0 ? (error + U[dtype] * (p + error)) / e + OMEGA[dtype] : 0;
  function exactSoftmax(z) {
    const max2 = z.reduce((a2, b) => Math.max(a2, b), -Infinity);
    const weights = z.map((x2) => Math.exp(x2 - max2));
    const total = weights.reduce((a2, b) => a2 + b, 0);
    return weights.map((w) => w / total);
  }
  function softmax2(z, dtype, error, p) {
    const [u, n, omega] = [U[dtype], z.length, OMEGA[dtype]];
    let [max2, worst2] = [-Infinity, 0];
    for (let v = 0; v < n; v++) {
      if (z[v] > max2) max2 = z[v];
      if (error && z[v] > -Infinity && error[v] > worst2) worst2 = error[v];
    }
    const epsExp = 2 * EXP_ULPS * u;
    const grown = new Float64Array(n);
    let off = 0;
    for (let v = 0; v < n; v++) {
      if (z[v] === -Infinity) continue;
      grown[v] = Math.expm1(u * (Math.abs(z[v] - max2) + 2 * worst2) + epsExp / (1 - epsExp) + (error ? error[v] : 0));
      if (p[v] > 0) off += p[v] * grown[v];
    }
    const sumError = off + gamma2(n, dtype) * (1 + off) + n * omega;
    const coversFloat64 = 1 + 2 * (n + 8) * U.float64;
    return z.map((x2, v) => {
      if (x2 === -Infinity) return 0;
      const relative = sumError < 1 ? (grown[v] * (1 + u) + u + sumError) / (1 - sumError) : Infinity;
      return Math.min(((p[v] > 0 ? p[v] * relative : 0) + 2 * omega) * coversFloat64, 1);
    });
  }

  // src/verdict.mjs
  var identical = (a2, b) => a2.length === b.length && a2.every((x2, i) => Object.is(x2, b[i]));
  function worst(values, exact, bound) {
    let ratio = 0;
    for (let v = 0; v < exact.length; v++) {
      if (values[v] === exact[v]) continue;
      const r = Math.abs(values[v] - exact[v]) / bound[v];
      if (!(r <= ratio)) ratio = Number.isNaN(r) ? Infinity : r;
    }
    return ratio;
  }
  var plus = (a2, b) => a2.map((x2, v) => x2 + b[v]);
  function logitErrors(context, embedding) {
    const magnitude2 = magnitude(context, embedding);
    const [float32, float64] = ["float32", "float64"].map((dtype) => logits(magnitude2, context.length, dtype));
    return plus(float32, float64);
  }
  function logits2(ours, theirs, exact, error) {
    const ratio = worst(theirs, exact, error);
    if (!(ratio <= 1 && worst(ours, exact, error) <= 1)) return { word: "DIVERGED", ratio, rule: "LOGITS-2" };
    return { word: identical(ours, theirs) ? "IDENTICAL" : "WITHIN_BOUND", ratio };
  }
  var HeadJudge = class {
    constructor(exact, error, temperature2, k2) {
      const T = Math.fround(temperature2);
      this.scaled = exact.map((x2) => x2 / T);
      this.error = temperature(exact, T, "float32", error);
      this.k = Math.min(k2, exact.length);
      const whole2 = this.k === exact.length;
      const order = whole2 ? exact.keys() : topK(this.scaled, this.k + 1).tokenIds;
      this.best = Array.from(order).slice(0, this.k);
      const lowest = (a2, v) => this.scaled[v] <= this.scaled[a2] ? v : a2;
      this.last = whole2 ? this.best.reduce(lowest, 0) : order[this.k - 1];
      this.runnerUp = whole2 ? this.last : order[this.k];
      this.top = new Uint8Array(exact.length);
      for (const v of this.best) this.top[v] = 1;
    }
    /** Closer to token `v` than both their errors allow to tell. */
    #near(token, v) {
      return Math.abs(this.scaled[token] - this.scaled[v]) <= this.error[token] + this.error[v];
    }
    /** The survivors behind a row of probabilities, those included that underflowed; null if they break TOPK-1. */
    #survivors(probs) {
      const kept = probs.map((p) => p > 0 ? 1 : 0);
      let alive = kept.reduce((a2, b) => a2 + b, 0);
      if (alive > this.k || kept.some((s2, v) => s2 && !this.top[v] && !this.#near(v, this.last))) return null;
      for (const v of this.best) {
        if (alive >= this.k) break;
        if (!kept[v]) alive++;
        kept[v] = 1;
      }
      return this.best.some((v) => !kept[v] && !this.#near(v, this.runnerUp)) ? null : kept;
    }
    /** The exact probabilities of these survivors, and how far a float32 head may be from them. */
    #reach(survivors) {
      const kept = this.scaled.map((x2, v) => survivors[v] ? x2 : -Infinity);
      const exact = exactSoftmax(kept);
      const float32 = softmax2(kept, "float32", this.error, exact);
      return { exact, bound: plus(float32, softmax2(kept, "float64", null, exact)) };
    }
    /**
     * Two rows of probabilities  [HEAD-1, TOPK-1].
     *
     * @param {Float32Array} ours (V)
     * @param {Float32Array} theirs (V)
     * @returns {{word: string, ratio: number, rule?: string, bound?: Float64Array}} `bound` is that of `ours`
     */
    compare(ours, theirs) {
      const [mine, other] = [this.#survivors(ours), this.#survivors(theirs)];
      if (!mine || !other) return { word: "DIVERGED", ratio: 0, rule: "TOPK-1" };
      const reach = this.#reach(mine);
      const theirReach = identical(mine, other) ? reach : this.#reach(other);
      const { bound } = reach;
      const ratio = worst(theirs, theirReach.exact, theirReach.bound);
      if (!(ratio <= 1 && worst(ours, reach.exact, bound) <= 1)) return { word: "DIVERGED", ratio, rule: "HEAD-1", bound };
      if (identical(ours, theirs)) return { word: "IDENTICAL", ratio, bound };
      const same = ours.every((p, v) => p > 0 === theirs[v] > 0);
      return { word: same ? "WITHIN_BOUND" : "TIE_BREAK", ratio, bound };
    }
  };
  function draw(ours, theirs, probs, noise, error) {
    if (!(probs[theirs] > 0)) return { word: "DIVERGED", rule: "DRAW-2" };
    if (ours === theirs) return { word: "IDENTICAL" };
    const bound = (v) => ["float32", "float64"].reduce((sum, t) => sum + race(probs[v], noise[v], t, error(v)), 0);
    const lead = Math.abs(probs[ours] / noise[ours]) - Math.abs(probs[theirs] / noise[theirs]);
    return lead <= bound(ours) + bound(theirs) ? { word: "TIE_BREAK" } : { word: "DIVERGED", rule: "DRAW-1" };
  }

  // src/main.mjs
  var SLICE = 4;
  var FIELD = { bad_temperature: "temperature", overflow: "temperature", bad_k: "k", bad_seed: "seed" };
  var REDRAWS = ["prompt", "temperature", "k", "seed"];
  var $ = (id) => document.getElementById(id);
  var thousands = new Intl.NumberFormat("en-US");
  var count = (n) => thousands.format(n);
  var percent = (p) => `${(100 * p).toFixed(p < 1e-3 ? 3 : 1)}%`;
  var fixed2 = fixed;
  var written = (id, text) => $(id).textContent !== text && ($(id).textContent = text);
  function short(x2) {
    if (x2 === 0) return "0";
    return x2 >= 1e5 || x2 < 1e-4 ? x2.toExponential(3).replace("-", "−").replace("+", "") : x2.toPrecision(4);
  }
  var Page = class {
    constructor(head, pytorch) {
      Object.assign(this, { head, pytorch, width: document.body.clientWidth, tokens: new Tokens(head.tokens), state: { ...START } });
      this.steps = stepsOfK(head.V);
      this.perPrompt = {};
      const token = { label: "token", kind: "token" };
      const [id, number5] = [{ label: "id", kind: "number" }, (label) => ({ label, kind: "number" })];
      const minor = (label) => ({ label, kind: "minor" });
      this.bars = new BarTable(
        $("bars"),
        [token, id, number5("logit"), minor("logit ÷ T"), number5("probability"), minor("PyTorch")],
        "probability, as a bar"
      );
      this.race = new BarTable($("race"), [token, number5("p"), number5("E"), number5("p ÷ E")], "p ÷ E, as a bar");
      this.counts = new BarTable($("counts"), [token, number5("drawn"), number5("expected")], "drawn, as a bar");
      this.#fill();
      this.#listen();
    }
    // ---- what is there once -------------------------------------------------------------------------------------------
    #fill() {
      const options = this.head.prompts.map(({ text }, i) => {
        const line2 = text.replace(/\s+/g, " ").trim() || JSON.stringify(text);
        return new Option(line2.length > 60 ? `… ${line2.slice(-58)}` : line2, i);
      });
      $("prompt").replaceChildren(...options);
      $("k-slider").max = this.steps.length - 1;
      written("model", `Model: ${this.head.title}. Computed in float32 by the JavaScript port.`);
      const settings = this.pytorch.settings.map(({ temperature: temperature2, k: k2 }) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = `T = ${temperature2}, k = ${k2 >= this.head.V ? "V" : k2}`;
        button.addEventListener("click", () => this.change({ temperature: temperature2, k: k2 }));
        return button;
      });
      $("settings").replaceChildren(...settings);
      $("settings-label").hidden = settings.length === 0;
    }
    #listen() {
      const typed = (name) => $(name).addEventListener("input", () => this.#type(name, $(name).value));
      ["prompt", "temperature", "k", "seed"].forEach(typed);
      for (const name of ["temperature", "k", "seed"])
        $(name).addEventListener("change", () => {
          if (!$(`${name}-problem`).dataset.refused) this.#showControls();
        });
      $("temperature-slider").addEventListener("input", ({ target }) => this.change({ temperature: Number(target.value) }));
      $("k-slider").addEventListener("input", ({ target }) => this.change({ k: this.steps[target.value] }));
      $("draw").addEventListener("click", () => this.#drawMore(1));
      $("draw-1000").addEventListener("click", () => this.#drawMore(1e3));
      $("restart").addEventListener("click", () => this.change({ draws: 1 }));
      $("copy").addEventListener("click", () => this.#copy($("numpy").textContent, "the code"));
      $("copy-link").addEventListener("click", () => {
        this.#writeFragment();
        this.#copy(location.href, "the link");
      });
      addEventListener("hashchange", () => location.hash !== this.fragment && this.restore());
      let width = 0;
      new ResizeObserver(() => {
        if (width === (width = document.body.clientWidth)) return;
        this.width = width;
        forgetWidths();
        this.redraw();
      }).observe(document.body);
    }
    // ---- changes ------------------------------------------------------------------------------------------------------
    /** The view of the URL's fragment. */
    restore() {
      const { state, problems } = fromFragment(location.hash, this.head);
      this.#clearProblems();
      if (!this.change(state)) this.change(START);
      for (const problem of problems) this.#refuse(problem);
    }
    #type(name, text) {
      try {
        this.change({ [name]: READ[name](text, this.head) }, name);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.#refuse(error);
      }
    }
    #drawMore(n) {
      const draws = this.state.draws + n;
      if (draws > MOST_DRAWS)
        this.#refuse(new Problem("seed", `${count(MOST_DRAWS)} draws are the most that are counted: start again`));
      else this.change({ draws });
    }
    /**
     * Compute the changed state and show it. `typing` is the box whose text the user is still writing.
     *
     * @returns {boolean} false if the port refused; the view then is as it was
     */
    change(patch, typing = null) {
      const started = performance.now();
      const state = { ...this.state, ...patch };
      if (REDRAWS.some((name) => name in patch) && !("draws" in patch)) state.draws = 1;
      try {
        this.#compute(state);
      } catch (error) {
        if (!Object.hasOwn(FIELD, error.code)) throw error;
        this.#refuse(new Problem(FIELD[error.code], error.message));
        return false;
      }
      this.#clearProblems(Object.keys(patch));
      this.state = state;
      this.#showControls(typing);
      this.redraw();
      $("explorer").dataset.redrawMs = (performance.now() - started).toFixed(2);
      this.#later();
      return true;
    }
    #compute({ prompt, temperature: temperature2, k: k2, seed, draws }) {
      const { head } = this;
      const probs = head.probs(prompt, temperature2, k2);
      const key = [prompt, temperature2, k2, seed].join();
      if (key !== this.drawsKey || draws < this.draws.count) {
        const next = new Draws(head, probs, seed);
        next.next();
        [this.draws, this.drawsKey] = [next, key];
      }
      this.#drawFor(draws);
    }
    /** Draw until there are `draws`, or the slice of time is used up; whatever is missing, the next pictures bring. */
    #drawFor(draws) {
      const end = performance.now() + SLICE;
      while (this.draws.count < draws && performance.now() < end) this.draws.next();
    }
    /** What need not be done within the frame: the address, and a sentence for screen readers. */
    #later() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        this.#writeFragment();
        const { head, draws, state } = this;
        const [best] = head.candidates(state.prompt, state.temperature);
        const p = head.probs(state.prompt, state.temperature, state.k)[best];
        written(
          "live",
          `Most probable: ${this.tokens.show(best)}, ${percent(p)}. Last drawn: ${this.tokens.show(draws.token)}. ${count(draws.count)} ${draws.count === 1 ? "draw" : "draws"}.`
        );
      }, 250);
      if (this.draws.count < this.state.draws && !this.drawing) {
        this.drawing = true;
        requestAnimationFrame(() => this.#goOnDrawing());
      }
    }
    #goOnDrawing() {
      this.#drawFor(this.state.draws);
      this.drawing = this.draws.count < this.state.draws;
      this.#showDraw();
      if (this.drawing) requestAnimationFrame(() => this.#goOnDrawing());
      else this.#later();
    }
    #writeFragment() {
      this.fragment = toFragment(this.state);
      if (location.hash !== this.fragment) history.replaceState(null, "", this.fragment);
    }
    #refuse(problem) {
      const place2 = $(`${problem.field}-problem`) ?? $("notice");
      place2.textContent = `${problem.message}. The view stays as it was.`;
      place2.dataset.refused = "yes";
      $(problem.field)?.setAttribute("aria-invalid", "true");
    }
    #clearProblems(fields = ["prompt", "temperature", "k", "seed"]) {
      for (const field of fields) {
        const place2 = $(`${field}-problem`);
        if (!place2) continue;
        written(place2.id, "");
        delete place2.dataset.refused;
        $(field).removeAttribute("aria-invalid");
      }
    }
    async #copy(text, what) {
      try {
        await navigator.clipboard.writeText(text);
        written("copied", `Copied ${what}.`);
      } catch {
        getSelection().selectAllChildren($("numpy"));
        written("copied", `This browser does not let a page copy: take ${what} by hand.`);
      }
    }
    // ---- the picture --------------------------------------------------------------------------------------------------
    #showControls(typing = null) {
      const { prompt, temperature: temperature2, k: k2, seed } = this.state;
      const { V } = this.head;
      for (const [name, value2] of Object.entries({ prompt, temperature: temperature2, k: k2, seed }))
        if (name !== typing) $(name).value = String(value2);
      $("temperature-slider").value = temperature2;
      $("temperature-slider").setAttribute("aria-valuetext", String(temperature2));
      const step = this.steps.findIndex((value2) => value2 >= k2);
      $("k-slider").value = step < 0 ? this.steps.length - 1 : step;
      $("k-slider").setAttribute("aria-valuetext", `${count(Math.min(k2, V))} of ${count(V)}`);
      if (k2 > V) written("k-problem", `k is ${count(k2)}, above V = ${count(V)}: it means V, every token survives [TOPK-4].`);
    }
    redraw() {
      const { prompt, temperature: temperature2, k: k2 } = this.state;
      const { head } = this;
      if (this.perPrompt.prompt !== prompt) {
        const logits3 = head.logits(prompt);
        this.perPrompt = { prompt, bins: binsOf(logits3) };
        this.#showPrompt(prompt);
      }
      this.ids = head.candidates(prompt, temperature2);
      const summary = head.summary(prompt, temperature2, k2);
      this.#showContext(prompt);
      this.#showProduct(prompt);
      this.#showLogits(prompt, summary);
      const probs = head.probs(prompt, temperature2, k2);
      const answer = this.pytorch.settings.find((s2) => s2.temperature === temperature2 && s2.k === Math.min(k2, head.V));
      this.#showProbabilities(probs, summary, answer?.rowOf(prompt));
      this.#showDraw();
      this.#showVerdicts(probs, answer);
      this.#showNumpy();
    }
    #showPrompt(prompt) {
      const ids = this.head.prompts[prompt].token_ids;
      const items = ids.slice(-12).map((id) => {
        const item = document.createElement("li");
        item.textContent = this.tokens.show(id);
        item.title = `id ${id}`;
        return item;
      });
      if (ids.length > 12) items.unshift(Object.assign(document.createElement("li"), { textContent: "…", className: "more" }));
      $("tokens").replaceChildren(...items);
    }
    #showContext(prompt) {
      const key = [prompt, this.width].join();
      if (key === this.contextKey) return;
      this.contextKey = key;
      const context = this.head.contextOf(prompt);
      drawOutliers($("context"), context);
      const named2 = outliers(context).map((i) => `dimension ${i} is ${fixed2(context[i], 2)}`);
      const rms = Math.hypot(...context) / Math.sqrt(context.length);
      written(
        "context-text",
        `${count(context.length)} numbers; their root mean square is ${rms.toFixed(2)}. The largest: ${named2.join(", ")}.`
      );
    }
    #showProduct(prompt) {
      const token = this.state.token ?? this.ids[0];
      const shown = this.ids.includes(token) ? [...this.ids] : [token, ...this.ids];
      const key = [prompt, token, this.width, ...shown].join();
      if (key === this.productKey) return;
      this.productKey = key;
      this.#showCandidates(shown, token);
      const { head } = this;
      const [h, w] = [head.contextOf(prompt), head.embeddingOf(token)];
      const products = Float64Array.from(h, (x2, i) => x2 * w[i]);
      let sum = 0;
      const sums = products.map((x2) => sum += x2);
      drawStrips($("factors"), [
        { name: "context vector", values: h },
        { name: `embedding row ${token}`, values: w },
        { name: "their products", values: products }
      ], LEFT);
      drawRunningSum($("running"), sums);
      const logit = head.logits(prompt)[token];
      const top2 = outliers(products).map((i) => `dimension ${i} gives ${fixed2(products[i], 2)}`);
      written(
        "product-text",
        `The products of ${this.tokens.show(token)} add up to its logit ${fixed2(logit, 4)}. The largest: ${top2.join(", ")}.`
      );
      Object.assign($("stage-product").dataset, { token, logit: String(logit), runningSum: String(sum) });
    }
    #showCandidates(ids, token) {
      const place2 = $("candidates");
      while (place2.children.length > ids.length) place2.lastChild.remove();
      while (place2.children.length < ids.length) {
        const button = document.createElement("button");
        button.type = "button";
        const choose = () => this.state.token !== Number(button.value) && this.change({ token: Number(button.value) });
        for (const event of ["click", "pointerenter", "focus"]) button.addEventListener(event, choose);
        place2.append(button);
      }
      ids.forEach((id, i) => {
        const button = place2.children[i];
        button.value = id;
        if (button.textContent !== this.tokens.show(id)) button.textContent = this.tokens.show(id);
        button.setAttribute("aria-pressed", String(id === token));
      });
    }
    #showLogits(prompt, { lowest }) {
      const { head } = this;
      const survivors = Math.min(this.state.k, head.V);
      const key = [prompt, lowest, survivors, this.width].join();
      if (key === this.histogramKey) return;
      this.histogramKey = key;
      drawHistogram($("histogram"), this.perPrompt.bins, lowest, survivors);
      const { domain } = this.perPrompt.bins;
      written(
        "histogram-text",
        `${count(head.V)} logits between ${domain.map((x2) => fixed2(x2, 0)).join(" and ")}; ${count(survivors)} survive, from ${fixed2(lowest, 4)} up.`
      );
      Object.assign($("stage-logits").dataset, { survivors, lowest: String(lowest) });
    }
    #showProbabilities(probs, { tail, entropy, effective }, pytorch) {
      const { head, ids } = this;
      const { prompt, temperature: temperature2, k: k2 } = this.state;
      const [logits3, scaled, kept] = [head.logits(prompt), head.scaled(prompt, temperature2), head.kept(prompt, temperature2, k2)];
      const survivors = Math.min(k2, head.V);
      written("survive", count(survivors));
      written("cut", count(head.V - survivors));
      written("tail", percent(tail));
      const top2 = Math.ceil(4 * Math.max(probs[ids[0]], 1e-9)) / 4;
      const rows = Array.from(ids, (id) => {
        const cut = kept[id] === -Infinity;
        return {
          cells: [
            this.tokens.show(id),
            String(id),
            fixed2(logits3[id], 4),
            fixed2(scaled[id], 4),
            cut ? "cut" : probs[id].toFixed(6),
            pytorch ? cut && pytorch[id] === 0 ? "cut" : pytorch[id].toFixed(6) : "–"
          ],
          value: probs[id],
          state: cut ? "is-cut" : "",
          data: { id, logit: String(logits3[id]), probability: String(probs[id]) }
        };
      });
      this.bars.update(rows, linear2([0, top2], [0, 1]), (axis2) => axis2.ticks(3, "~%"));
      const others = Math.max(survivors - ids.length, 0);
      const mass = ids.reduce((rest, id) => rest - probs[id], 1);
      written("rest", others ? `${count(others)} other survivors share ${percent(Math.max(mass, 0))}.` : "No others survive.");
      written("entropy", entropy.toFixed(3));
      written("effective", effective.toFixed(2));
      Object.assign($("stage-probabilities").dataset, { tail, entropy, effective, temperature: temperature2, k: k2, prompt });
    }
    #showDraw() {
      const { head, draws, ids } = this;
      const { prompt, temperature: temperature2, k: k2, seed } = this.state;
      const { possible } = head.summary(prompt, temperature2, k2);
      const { probs, noise, token } = draws;
      const arrivals = Array.from(draws.arrivals(possible));
      const speed = (id) => Math.fround(probs[id] / Math.abs(noise[id]));
      const finite = arrivals.map(speed).filter((x2) => x2 > 0 && x2 < Infinity);
      const [low, high] = [Math.min(...finite, 1e30), Math.max(...finite, 1e-30)];
      const rows = arrivals.map((id, place2) => ({
        cells: [this.tokens.show(id), short(probs[id]), short(noise[id]), short(speed(id))],
        value: Math.min(Math.max(speed(id), low), high),
        state: place2 === 0 ? "is-winner" : "",
        data: { id, noise: String(noise[id]), race: String(speed(id)) }
      }));
      const scale = log(low < high ? [low / 2, high] : [high / 2, high * 2], [0, 1]);
      this.race.update(rows, scale, (axis2) => axis2.ticks(3, "~g"));
      const which = draws.count === 1 ? `Seed ${seed} draws` : `Draw ${count(draws.count)} of seed ${seed}:`;
      written("drawn", `${which} ${this.tokens.show(token)}`);
      Object.assign($("stage-draw").dataset, { seed, draws: draws.count, drawn: token, first: draws.first });
      this.#showCounts(probs, draws, ids);
    }
    #showCounts(probs, { count: n, counts }, ids) {
      const alive = Array.from(ids).filter((id) => probs[id] > 0);
      const top2 = Math.max(max(alive, (id) => Math.max(counts[id], n * probs[id])), 1);
      const rows = alive.map((id) => ({
        cells: [this.tokens.show(id), count(counts[id]), (n * probs[id]).toFixed(1)],
        value: counts[id],
        tick: n * probs[id],
        data: { id, count: counts[id], expected: String(n * probs[id]) }
      }));
      this.counts.update(rows, linear2([0, top2], [0, 1]).nice(), (axis2) => axis2.ticks(3, "~s"));
      const rest = alive.reduce(([c, p], id) => [c - counts[id], p - probs[id]], [n, 1]);
      written(
        "counts-rest",
        `${count(n)} ${n === 1 ? "draw" : "draws"}. All other candidates: ${count(rest[0])} drawn, ${(n * Math.max(rest[1], 0)).toFixed(1)} expected. The line in each bar is what to expect.`
      );
    }
    #showVerdicts(probs, answer) {
      const { head, draws, pytorch } = this;
      const { prompt, temperature: temperature2, k: k2, seed } = this.state;
      const say = (id, result2, detail) => {
        const place2 = $(`verdict-${id}`);
        place2.className = result2?.word ?? "";
        place2.dataset.word = result2?.word ?? "";
        const text = result2 ? `${result2.word}${result2.rule ? ` from ${result2.rule}` : ""}` : "–";
        written(place2.id, detail ? `${text} ${detail}` : text);
      };
      const ratio = ({ ratio: ratio2 }) => `(error ${ratio2.toPrecision(2)} × bound)`;
      for (const [i, setting] of pytorch.settings.entries())
        $("settings").children[i].setAttribute("aria-pressed", String(setting === answer));
      if (!head.pytorchLogits) return ["logits", "probs", "draw"].forEach((id) => say(id, null, ""));
      const exact = head.exactLogits(prompt);
      const { perPrompt } = this;
      perPrompt.error ??= logitErrors(head.contextOf(prompt), head.embedding);
      perPrompt.verdict ??= logits2(head.logits(prompt), head.pytorchLogits(prompt), exact, perPrompt.error);
      say("logits", perPrompt.verdict, ratio(perPrompt.verdict));
      if (!answer) {
        say("probs", null, "not exported for this T and k: choose one below");
        return say("draw", null, "");
      }
      const theirs = answer.rowOf(prompt);
      const key = [prompt, temperature2, answer.k].join();
      if (this.judged?.key !== key) {
        const judge = new HeadJudge(exact, perPrompt.error, temperature2, k2);
        this.judged = { key, result: judge.compare(probs, theirs) };
      }
      const { result } = this.judged;
      say("probs", result, ratio(result));
      const drawn = answer.drawOf(prompt, seed);
      if (drawn === null) return say("draw", null, answer.seeds ? `exported for seeds 0 to ${answer.seeds - 1}` : "");
      const noise = head.firstNoise(seed);
      const judgedDraw = draw(draws.first, drawn, probs, noise, (v) => result.bound?.[v] ?? 0);
      say("draw", judgedDraw, `torch.multinomial draws ${this.tokens.show(drawn)}`);
      return void 0;
    }
    #showNumpy() {
      const { prompt, temperature: temperature2, k: k2, seed, draws } = this.state;
      const [imports, source, factors] = this.head.numpy(prompt);
      const lines = [
        imports,
        source,
        `probs = reference.lm_head(${factors}, temperature=${temperature2}, k=${k2})`,
        `drawn = reference.multinomial([probs] * ${draws}, rng=reference.TorchGenerator(${seed}))[:, 0]`
      ];
      written("numpy", lines.join("\n"));
    }
  };
  async function load() {
    let head;
    try {
      head = new Head(await embeddedBundle());
    } catch (error) {
      const pytorch = { settings: [], note: "PyTorch's answers belong to the bundle, which cannot be used." };
      const problem = `The bundle in this page cannot be used: ${error.message}. In its place: a toy of four tokens.`;
      return { head: new Head(toy()), pytorch, problem };
    }
    try {
      return { head, pytorch: pytorchAnswers(head), problem: "" };
    } catch (error) {
      return { head, pytorch: { settings: [], note: `PyTorch's answers in this page are damaged: ${error.message}.` }, problem: "" };
    }
  }
  async function start() {
    const { head, pytorch, problem } = await load();
    const page = new Page(head, pytorch);
    written("pytorch-note", pytorch.note);
    written("notice", problem);
    $("notice").classList.toggle("problem", problem !== "");
    page.restore();
    $("explorer").dataset.ready = "yes";
  }
  start();
})();
