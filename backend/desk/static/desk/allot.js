// While quantities are typed, values that nobody has typed follow by the unit price, and the sums follow both. Exactly: in
// thousandths and in cents, which BigInt counts. What is left only the server knows: it is asked by "What if".
const form = document.getElementById("allot");
const read = (text, places) => {
  const match = new RegExp(`^([0-9]*)(?:[.]([0-9]{0,${places}}))?$`).exec(text.trim().replaceAll(",", ""));
  return match && BigInt(match[1] + (match[2] ?? "").padEnd(places, "0"));
};
const written = (number, places) => {
  const digits = String(number < 0n ? -number : number).padStart(places + 1, "0");
  const whole = BigInt(digits.slice(0, -places)).toLocaleString("en-IN");
  return `${number < 0n ? "-" : ""}${whole}.${digits.slice(-places)}`;
};
const quantity = (number) => written(number, 3).replace(/[.]?0+$/, "");
const valueOf = (thousandths, price) => (thousandths * price + 5000n) / 10000n; // to the cent, half up

if (form) {
  const wanted = read(form.dataset.wanted, 3);
  const price = read(form.dataset.price, 3);
  const rows = [...form.querySelectorAll("tbody tr")].map((row) => ({
    quantity: row.querySelector("[name$=-quantity]"),
    value: row.querySelector("[name$=-value]"),
  }));
  const follows = (row) => {
    const [is, of] = [read(row.value.value, 2), read(row.quantity.value, 3)];
    return !row.value.value.trim() || (of !== null && is === valueOf(of, price));
  };
  const add = (field, places) =>
    rows.reduce((sum, row) => {
      const number = read(row[field].value, places);
      return sum === null || number === null ? null : sum + number;
    }, 0n);
  const show = (id, number, as) => {
    document.getElementById(id).textContent = number === null ? "–" : as(number);
  };
  for (const row of rows) {
    row.isFollowing = price && follows(row);
    row.quantity.addEventListener("input", () => {
      const number = read(row.quantity.value, 3);
      if (row.isFollowing && number !== null) row.value.value = number ? written(valueOf(number, price), 2) : "";
    });
    row.value.addEventListener("input", () => {
      row.isFollowing = price && follows(row);
    });
  }
  form.addEventListener("input", () => {
    const sum = add("quantity", 3);
    show("proposed", sum, quantity);
    show("missing", sum === null ? null : wanted - sum, quantity);
    show("value", add("value", 2), (number) => written(number, 2));
    form.classList.add("stale"); // what would be left after was counted for other numbers
  });
}
