"""The report as one HTML page, which loads nothing."""

from dataclasses import replace

from retrieval.experiments import page


def test_the_page_contains_its_pictures_and_loads_nothing(change, sources):
    text = page.render(change)
    parts = sources(text)
    assert len(parts.addresses) == 4, "two plots, and a picture of each revision"
    assert all(each.startswith("data:image/") for each in parts.addresses)
    assert not parts.tags & {"script", "link", "iframe", "b"}, "values of parameters are text"
    assert "url(" not in text


def test_the_page_has_parameters_and_metrics(change):
    text = page.render(change)
    assert "<p>dssm: made &lt;elsewhere&gt;.</p>" in text
    assert "<tr><td>loss<td>softmax<td>&lt;b&gt;bpr&lt;/b&gt;" in text
    dssm = "<td>dssm<td>0.1250<td class=better>+0.0250 ± 0.0200<td>0.5000<td class=note>="
    assert dssm in text
    assert text.index("<td>ease<td>0.2000<td class=note>=") < text.index(dssm), "the best model comes first"
    assert "95 % interval" in text
    assert "<figcaption>plots/loss.json</figcaption>" in text
    assert "<figcaption>plots/x.json (unchanged)</figcaption>" in text


def test_a_drawing_is_the_same_every_time(change):
    plot = change.plots[0]
    drawing = page.draw(plot, "main", "new")
    assert drawing == page.draw(plot, "main", "new")
    assert b"<svg" in drawing


def test_noise_has_no_colour(change):
    noisy = replace(change, noise={"dssm": {"map@10": 0.03}})
    assert "<td>0.1250<td class=note>+0.0250 ± 0.0300" in page.render(noisy)
    without = page.render(replace(change, noise={}))
    assert "<td>0.1250<td class=note>+0.0250<" in without
    assert "coloured" not in without
