// A row that is added is proposed the next serial number. What is proposed is posted beside what is typed, so that a
// row in which nothing else was typed is none.
document.addEventListener("formset:added", (event) => {
  const numbers = [...document.querySelectorAll("input[type=number][name$=-serial_number]")];
  const next = Math.max(0, ...numbers.map((number) => Number(number.value))) + 1;
  for (const proposed of event.target.querySelectorAll("[name$=-serial_number]")) proposed.value = next;
});
