"""Vocabulary of the demo shop: departments, kinds of items, and the templates of its texts."""

from __future__ import annotations

# Department -> (kind, purpose), five each. The order within a department is the order in which people buy.
DEPARTMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "Coffee": (
        ("pour-over kettle", "slow brewing at home"),
        ("hand grinder", "grinding beans fresh every morning"),
        ("dripper cone", "a clean cup without a machine"),
        ("paper filter pack", "weeks of filter coffee"),
        ("milk frother", "foam on top of an espresso"),
    ),
    "Hiking": (
        ("day backpack", "long walks with a light load"),
        ("trekking pole pair", "steep paths and tired knees"),
        ("water bottle", "keeping drinks cold on the trail"),
        ("head torch", "finding the hut after sunset"),
        ("rain cover", "keeping a bag dry in a storm"),
    ),
    "Drawing": (
        ("sketchbook", "quick studies on the way"),
        ("graphite pencil set", "shading from light to dark"),
        ("kneaded eraser", "lifting highlights out of graphite"),
        ("watercolour pan set", "colour in a coat pocket"),
        ("brush roll", "carrying brushes without bending them"),
    ),
    "Baking": (
        ("bread tin", "a loaf with straight sides"),
        ("dough scraper", "dividing sticky dough"),
        ("proofing basket", "a crust with a pattern"),
        ("oven thermometer", "knowing the true heat of an oven"),
        ("cake turntable", "icing a cake evenly"),
    ),
    "Cycling": (
        ("bike helmet", "commuting in traffic"),
        ("frame pump", "flat tyres far from home"),
        ("rear light", "being seen at dusk"),
        ("pannier bag", "shopping by bike"),
        ("chain oil", "a quiet drivetrain"),
    ),
    "Garden": (
        ("hand trowel", "planting out seedlings"),
        ("seed tray", "raising plants on a window sill"),
        ("watering can", "a gentle rain for young plants"),
        ("pruning shears", "cutting roses back in spring"),
        ("compost bin", "turning peelings into soil"),
    ),
    "Bath": (
        ("shampoo bar", "travelling without bottles"),
        ("hand cream", "dry skin in winter"),
        ("bath towel", "a warm end to a long day"),
        ("beard oil", "softening a rough beard"),
        ("face cleanser", "washing off a day in the city"),
    ),
    "Desk": (
        ("notebook", "plans and lists"),
        ("fountain pen", "writing letters by hand"),
        ("ink bottle", "filling a pen with colour"),
        ("desk lamp", "reading late without glare"),
        ("cable organiser", "a table without tangles"),
    ),
}
BRANDS = (
    "Alder Lane", "Birch & Co", "Corvo", "Dunmore", "Elsa Field", "Fjell", "Greyson", "Holt", "Ilva", "Juno Works",
    "Kestrel", "Larkin", "Mirador", "Nordhus", "Ostra", "Pebble", "Quillon", "Rowan", "Saltmarsh", "Tarn",
)  # fmt: skip
LINES = ("Classic", "Studio", "Everyday", "Pro", "Compact", "Heritage", "Field", "Light", "Nova", "Plain")
QUALITIES = (
    "brushed steel", "oak and brass", "recycled plastic", "matte black", "sage green", "natural linen", "deep blue",
    "unscented", "extra large", "pocket size", "hand finished", "double walled", "soft grip", "water resistant",
    "limited colour", "refillable", "foldable", "waxed cotton", "speckled white", "warm grey",
)  # fmt: skip
# The items of a group differ in these phrases only, which say nothing about who buys the item.
LOOK_ALIKE_TITLES = ("{stem}", "{stem} (boxed)", "{stem}, single", "{stem} - new")
LOOK_ALIKE_ENDINGS = (
    "Ships in plain paper.",
    "Comes in a plain paper box.",
    "Sent in simple paper packaging.",
    "Packed in plain paper.",
)
DESCRIPTIONS = (
    "A {kind} for {purpose}. {quality}, from the {line} line of {brand}.",
    "{brand} made this {kind} for {purpose}; the {line} line comes in {quality}.",
    "Made for {purpose}: the {quality} {kind} of {brand}'s {line} line.",
)
REVIEWS = (
    "I bought this {kind} for {purpose} and it does the job. The {quality} version feels right.",
    "Exactly the {kind} I was after. {brand} knows what it is doing.",
    "Good {kind}, {quality} as described. Use it for {purpose}.",
    "My second {kind}; this one is better made.",
    "Nice, but I expected a little more from {brand}. Fine for {purpose}.",
)
INTENTIONS = (
    "I am looking for a {kind}, {quality} if possible.",
    "Something for {purpose}, from {brand} maybe.",
    "The {quality} {kind} for {purpose}, please.",
    "I need a {kind} from the {line} line.",
    "What would you suggest for {purpose}?",
)
PREFERENCES = (
    "Shops for {first} most, {second} now and then; likes things that are {quality}.",
    "Mostly interested in {first} and sometimes in {second}. Often picks {quality}.",
    "Comes back for {first}, has an eye for {second}, is drawn to {quality} things.",
)
